"""Ghost-PAN, the neck of NanoDet-Plus: a path aggregation network of ghost bottlenecks.

Ghost modules: https://arxiv.org/abs/1911.11907, section 3.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harness.errors import UserError
from harness.model.features import FeatureSpec
from harness.model.path_aggregation import PathAggregation
from harness_plugins.nanodet.blocks import (
    ConvNorm,
    SeparableConvNorm,
    activation,
    depthwise,
    pointwise,
)

GHOST_KERNEL = 3


class GhostModule(nn.Module):
    """Half of the channels by a 1x1 convolution, the other half from those by a depthwise one."""

    def __init__(self, in_channels: int, out_channels: int, activated: bool) -> None:
        super().__init__()
        half = out_channels // 2
        self.primary_conv = nn.Sequential(
            pointwise(in_channels, half), nn.BatchNorm2d(half), _maybe_activation(activated)
        )
        self.cheap_operation = nn.Sequential(
            depthwise(half, GHOST_KERNEL), nn.BatchNorm2d(half), _maybe_activation(activated)
        )

    def forward(self, x: Tensor) -> Tensor:
        primary = self.primary_conv(x)
        return torch.cat([primary, self.cheap_operation(primary)], 1)


class GhostBottleneck(nn.Module):
    """Two ghost modules beside a separable shortcut, whose kernel alone is `kernel`."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.ghost1 = GhostModule(in_channels, out_channels, activated=True)
        self.ghost2 = GhostModule(out_channels, out_channels, activated=False)
        self.shortcut = nn.Sequential(
            depthwise(in_channels, kernel),
            nn.BatchNorm2d(in_channels),
            pointwise(in_channels, out_channels),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.ghost2(self.ghost1(x)) + self.shortcut(x)
        return out


class GhostBlock(nn.Module):
    """One ghost bottleneck; checkpoints know it as a list of one."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(GhostBottleneck(2 * channels, channels, kernel))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.blocks(x)
        return out


class GhostPan(PathAggregation):
    """`PathAggregation` by ghost bottlenecks.

    Args:
        in_features, channels: see there.
        kernel: of shortcuts and strided convolutions.

    Raises:
        UserError: the maps are not a pyramid, or the channels are odd.
    """

    checkpoint_name = "fpn"

    def __init__(
        self, in_features: Sequence[FeatureSpec], channels: int = 96, kernel: int = 5
    ) -> None:
        if channels % 2:
            raise UserError(
                f"ghost_pan has {channels} channels", hint="its ghost modules need an even number"
            )
        super().__init__(
            "ghost_pan",
            in_features,
            channels,
            reduce=lambda given: ConvNorm(given, channels),
            join=lambda: GhostBlock(channels, kernel),
            halve=lambda: SeparableConvNorm(channels, channels, kernel, stride=2),
            upsampling="bilinear",
        )
        for module in self.modules():
            if isinstance(module, ConvNorm | SeparableConvNorm):
                _init_weights(module)


def _maybe_activation(activated: bool) -> nn.Module:
    return activation() if activated else nn.Identity()


def _init_weights(module: nn.Module) -> None:
    """Ghost modules and shortcuts keep torch's default."""
    for conv in module.children():
        if isinstance(conv, nn.Conv2d):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
