"""Layers that backbone, neck and head of PicoDet share.

Paper: Yu et al., "PP-PicoDet", https://arxiv.org/abs/2111.00902, section 3; what it leaves open is
that of its program, https://github.com/PaddlePaddle/PaddleDetection.
"""

from torch import nn
from torchvision.ops import Conv2dNormActivation

KERNEL = 5  # of depthwise convolutions in neck and head


def conv(
    in_channels: int,
    out_channels: int,
    kernel: int = 1,
    stride: int = 1,
    *,
    groups: int = 1,
    activated: bool = True,
) -> nn.Module:
    """Convolution, batch norm, hard-swish."""
    activation = nn.Hardswish if activated else None
    made: nn.Module = Conv2dNormActivation(
        in_channels, out_channels, kernel, stride, groups=groups, activation_layer=activation
    )
    return made


def separable(channels: int, stride: int = 1) -> nn.Sequential:
    """Depthwise 5x5, then 1x1."""
    return nn.Sequential(
        conv(channels, channels, KERNEL, stride, groups=channels), conv(channels, channels)
    )
