"""Blocks of YOLOX's networks; names of submodules are those of published checkpoints.

Paper: Ge et al., "YOLOX", https://arxiv.org/abs/2107.08430; cross-stage partial blocks:
https://arxiv.org/abs/1911.11929; spatial pyramid pooling: https://arxiv.org/abs/1406.4729.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvBnSilu(nn.Module):
    """Convolution without bias, batch norm, SiLU."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.03)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.bn(self.conv(x)), inplace=True)


class SeparableConv3(nn.Module):
    """3x3 depthwise, then 1x1, each with batch norm and SiLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.dconv = ConvBnSilu(in_channels, in_channels, 3, stride, groups=in_channels)
        self.pconv = ConvBnSilu(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pconv(self.dconv(x))
        return out


def conv3(in_channels: int, out_channels: int, stride: int, depthwise: bool) -> nn.Module:
    """The 3x3 convolution of a depthwise or of an ordinary network."""
    if depthwise:
        return SeparableConv3(in_channels, out_channels, stride)
    return ConvBnSilu(in_channels, out_channels, 3, stride)


class Bottleneck(nn.Module):
    """1x1, then 3x3 of the same width; the input is added if `shortcut`."""

    def __init__(self, channels: int, shortcut: bool, depthwise: bool) -> None:
        super().__init__()
        self.shortcut = shortcut
        self.conv1 = ConvBnSilu(channels, channels, 1)
        self.conv2 = conv3(channels, channels, 1, depthwise)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(x))
        return out + x if self.shortcut else out


class CspLayer(nn.Module):
    """Half of the channels pass `count` bottlenecks, half pass by."""

    def __init__(
        self, in_channels: int, out_channels: int, count: int, shortcut: bool, depthwise: bool
    ) -> None:
        super().__init__()
        hidden = out_channels // 2
        self.conv1 = ConvBnSilu(in_channels, hidden, 1)
        self.conv2 = ConvBnSilu(in_channels, hidden, 1)
        self.conv3 = ConvBnSilu(2 * hidden, out_channels, 1)
        blocks = (Bottleneck(hidden, shortcut, depthwise) for _ in range(count))
        self.m = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv3(torch.cat([self.m(self.conv1(x)), self.conv2(x)], 1))
        return out


class PyramidPooling(nn.Module):
    """Max pools of 5, 9 and 13 beside their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvBnSilu(channels, channels // 2, 1)
        self.conv2 = ConvBnSilu(4 * (channels // 2), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        # pools of stride 1 in a row: 5 after 5 is 9, and 5 after that 13
        pools = [x]
        for _ in range(3):
            pools.append(F.max_pool2d(pools[-1], 5, stride=1, padding=2))
        out: Tensor = self.conv2(torch.cat(pools, 1))
        return out


class Focus(nn.Module):
    """Each 2x2 square of pixels into channels, then a 3x3 convolution.

    The pixels of a square in the order of its columns: upper and lower left, upper and lower
    right.
    """

    def __init__(self, out_channels: int) -> None:
        super().__init__()
        self.conv = ConvBnSilu(12, out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        left, right = x[..., ::2], x[..., 1::2]
        squares = [left[..., ::2, :], left[..., 1::2, :], right[..., ::2, :], right[..., 1::2, :]]
        out: Tensor = self.conv(torch.cat(squares, 1))
        return out
