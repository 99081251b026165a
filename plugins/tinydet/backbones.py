"""MobileNetV3-BC and MobileNetV3-D, the backbones of TinyDet.

Paper: Chen et al., "TinyDet: Accurate Small Object Detection in Lightweight Generic Detectors",
https://arxiv.org/abs/2304.03428, section 3.1; after MobileNetV3, https://arxiv.org/abs/1905.02244.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.model.features import FeatureSpec
from harness.ops import average_fours
from harness_plugins.tinydet.separable import trains_on_gpu

Activation = Literal["relu", "hswish"]


@dataclass(frozen=True)
class Row:
    """One block: depthwise kernel, hidden and output channels, and what else it has."""

    kernel: int
    expand: int
    out: int
    act: Activation = "relu"
    se: bool = False
    stride: int = 1


# The first row of each table has no expansion; index 0 of a network is its stem.
MOBILENETV3_BC = (
    Row(3, 24, 24),
    Row(3, 72, 36, stride=2),
    Row(3, 108, 36),
    Row(3, 108, 36),
    Row(3, 108, 36),
    Row(5, 108, 60, se=True, stride=2),
    Row(5, 180, 60, se=True),
    Row(5, 180, 60, se=True),
    Row(3, 240, 80, "hswish", stride=2),
    Row(3, 200, 80, "hswish"),
    Row(3, 184, 80, "hswish"),
    Row(3, 184, 80, "hswish"),
    Row(3, 480, 112, "hswish", se=True),
    Row(3, 672, 112, "hswish", se=True),
    Row(5, 672, 160, "hswish", se=True, stride=2),
    Row(5, 960, 160, "hswish", se=True),
    Row(5, 960, 160, "hswish", se=True),
    Row(5, 960, 160, "hswish", se=True, stride=2),
    Row(5, 960, 160, "hswish", se=True),
)
MOBILENETV3_D = (
    Row(3, 16, 16),
    Row(3, 64, 24, stride=2),
    Row(3, 72, 24),
    Row(5, 72, 40, se=True, stride=2),
    Row(5, 120, 40, se=True),
    Row(5, 120, 40, se=True),
    Row(3, 240, 80, "hswish", stride=2),
    Row(3, 240, 80, "hswish"),
    Row(5, 240, 80, "hswish"),
    Row(5, 240, 80, "hswish"),
    Row(3, 240, 112, "hswish", se=True),
    Row(3, 336, 112, "hswish", se=True),
    Row(5, 336, 160, "hswish", se=True, stride=2),
    Row(5, 480, 160, "hswish", se=True),
    Row(5, 480, 160, "hswish", se=True),
    Row(5, 960, 160, "hswish", se=True, stride=2),
)


def activate(x: Tensor, act: Activation) -> Tensor:
    # hardswish needs its input in the backward pass, so only ReLU gains from working in place
    return F.relu(x, inplace=True) if act == "relu" else F.hardswish(x)


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation without biases (https://arxiv.org/abs/1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.se = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // 4, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // 4, channels, 1, bias=False),
            nn.Hardsigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x * self.se(x)
        return out


class DepthwiseBlock(nn.Module):
    """First block: depthwise and pointwise convolution, no expansion."""

    def __init__(self, channels: int, row: Row) -> None:
        super().__init__()
        self.act, self.residual = row.act, channels == row.out
        self.conv2 = _depthwise(channels, row)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, row.out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(row.out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn3(self.conv3(activate(self.bn2(self.conv2(x)), self.act)))
        return out + x if self.residual else out


class InvertedResidual(nn.Module):
    """Expand, depthwise convolution, squeeze-and-excite, project.

    A strided depthwise convolution follows a 2x2 average pool of stride 1 without padding, the
    paper's feature alignment.
    """

    def __init__(self, channels: int, row: Row) -> None:
        super().__init__()
        self.act, self.stride = row.act, row.stride
        self.residual = channels == row.out and row.stride == 1
        self.conv1 = nn.Conv2d(channels, row.expand, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(row.expand)
        self.conv2 = _depthwise(row.expand, row)
        self.bn2 = nn.BatchNorm2d(row.expand)
        self.se = SqueezeExcite(row.expand) if row.se else nn.Identity()
        self.conv3 = nn.Conv2d(row.expand, row.out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(row.out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = activate(self.bn1(self.conv1(x)), self.act)
        if self.stride == 2:
            out = average_fours(out) if trains_on_gpu(out) else F.avg_pool2d(out, 2, stride=1)
        out = self.se(activate(self.bn2(self.conv2(out)), self.act))
        out = self.bn3(self.conv3(out))
        return out + x if self.residual else out


class MobileNetV3(nn.Module):
    """A stem and the blocks of a table.

    Args:
        rows: the blocks; block i is `blocks.{i + 1}`.
        stem: channels of the stem.
        outputs: indices into `blocks` whose results are returned.

    Attributes:
        out_features: what `forward` returns, finest first.
    """

    def __init__(self, rows: tuple[Row, ...], stem: int, outputs: tuple[int, ...]) -> None:
        super().__init__()
        self.outputs = outputs
        self.blocks = nn.ModuleList([_stem(stem)])
        channels, stride, specs = stem, 2, []
        for index, row in enumerate(rows, start=1):
            block = DepthwiseBlock if index == 1 else InvertedResidual
            self.blocks.append(block(channels, row))
            channels, stride = row.out, stride * row.stride
            if index in outputs:
                specs.append(FeatureSpec(f"c{stride.bit_length() - 1}", channels, stride))
        self.out_features = tuple(specs)
        self.apply(_init_weights)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalised -> one map per out feature."""
        # on a CPU depthwise convolutions and pools run about twice as fast with channels last
        cpu = pixels.device.type == "cpu"
        x = pixels.contiguous(memory_format=torch.channels_last) if cpu else pixels
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.outputs:
                maps.append(x)
        return maps


def mobilenetv3_bc() -> MobileNetV3:
    """Backbone of TinyDet-M and -L: strides 4 to 64."""
    return MobileNetV3(MOBILENETV3_BC, stem=24, outputs=(5, 8, 14, 17, 19))


def mobilenetv3_d() -> MobileNetV3:
    """Backbone of TinyDet-S: strides 8 to 64."""
    return MobileNetV3(MOBILENETV3_D, stem=16, outputs=(6, 12, 15, 16))


def _stem(channels: int) -> nn.Sequential:
    conv = nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.Hardswish())


def _depthwise(channels: int, row: Row) -> nn.Conv2d:
    return nn.Conv2d(
        channels, channels, row.kernel, row.stride, row.kernel // 2, groups=channels, bias=False
    )


def _init_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
