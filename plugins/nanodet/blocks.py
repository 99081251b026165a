"""Layers that backbone, neck and head of NanoDet-Plus share.

NanoDet-Plus: https://github.com/RangiLyu/nanodet (no paper). Names of submodules are those of its
checkpoints.
"""

from torch import Tensor, nn

SLOPE = 0.1  # of LeakyReLU, everywhere


def activation() -> nn.LeakyReLU:
    return nn.LeakyReLU(SLOPE, inplace=True)


def depthwise(channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    padding = kernel // 2
    return nn.Conv2d(channels, channels, kernel, stride, padding, groups=channels, bias=False)


def pointwise(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 1, bias=False)


class ConvNorm(nn.Module):
    """1x1 convolution, batch norm, activation."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = pointwise(in_channels, out_channels)
        self.bn = nn.BatchNorm2d(out_channels)
        self.act = activation()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.bn(self.conv(x)))
        return out


class SeparableConvNorm(nn.Module):
    """Depthwise and 1x1 convolution, each with batch norm and activation."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = depthwise(in_channels, kernel, stride)
        self.pointwise = pointwise(in_channels, out_channels)
        self.dwnorm = nn.BatchNorm2d(in_channels)
        self.pwnorm = nn.BatchNorm2d(out_channels)
        self.act = activation()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.dwnorm(self.depthwise(x)))
        out: Tensor = self.act(self.pwnorm(self.pointwise(x)))
        return out
