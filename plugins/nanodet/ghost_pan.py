"""Ghost-PAN, the neck of NanoDet-Plus: a path aggregation network of ghost bottlenecks.

PAN: https://arxiv.org/abs/1803.01534; ghost modules: https://arxiv.org/abs/1911.11907, section 3.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.errors import UserError
from harness.model.features import FeatureSpec, require_pyramid
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
    """Joins two maps in one ghost bottleneck; checkpoints know it as a list of one."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(GhostBottleneck(2 * channels, channels, kernel))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        out: Tensor = self.blocks(torch.cat([first, second], 1))
        return out


class GhostPan(nn.Module):
    """Top-down and bottom-up paths over the backbone's maps, and one coarser level.

    Args:
        in_features: the backbone's maps, finest first, each twice as coarse as the one before.
        channels: of every output map.
        kernel: of shortcuts and strided convolutions.

    Attributes:
        out_features: a map for each input map, and one of twice the coarsest stride.

    Raises:
        UserError: the maps are not a pyramid, or the channels are odd.
    """

    checkpoint_name = "fpn"

    def __init__(
        self, in_features: Sequence[FeatureSpec], channels: int = 96, kernel: int = 5
    ) -> None:
        super().__init__()
        require_pyramid("ghost_pan", in_features)
        if channels % 2:
            raise UserError(
                f"ghost_pan has {channels} channels", hint="its ghost modules need an even number"
            )
        steps = len(in_features) - 1
        self.reduce_layers = nn.ModuleList(ConvNorm(f.channels, channels) for f in in_features)
        self.top_down_blocks = nn.ModuleList(GhostBlock(channels, kernel) for _ in range(steps))
        self.downsamples = nn.ModuleList(_downsample(channels, kernel) for _ in range(steps))
        self.bottom_up_blocks = nn.ModuleList(GhostBlock(channels, kernel) for _ in range(steps))
        self.extra_lvl_in_conv = nn.ModuleList([_downsample(channels, kernel)])
        self.extra_lvl_out_conv = nn.ModuleList([_downsample(channels, kernel)])
        strides = [f.stride for f in in_features]
        self.out_features = tuple(
            FeatureSpec(f"p{s.bit_length() - 1}", channels, s) for s in (*strides, 2 * strides[-1])
        )
        for module in self.modules():
            if isinstance(module, ConvNorm | SeparableConvNorm):
                _init_weights(module)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        reduced = [layer(x) for layer, x in zip(self.reduce_layers, features, strict=True)]
        coarsest = reduced[-1]
        merged = [coarsest]  # finest first
        for block, finer in zip(self.top_down_blocks, reversed(reduced[:-1]), strict=True):
            merged.insert(0, block(_enlarge(merged[0], finer), finer))
        out = merged[:1]
        ways = zip(self.downsamples, self.bottom_up_blocks, merged[1:], strict=True)
        for downsample, block, coarser in ways:
            out.append(block(downsample(out[-1]), coarser))
        extra = self.extra_lvl_in_conv[0](coarsest) + self.extra_lvl_out_conv[0](out[-1])
        return [*out, extra]


def _enlarge(coarse: Tensor, fine: Tensor) -> Tensor:
    """Bilinear, to the size of `fine`, which is twice that of `coarse` or one less."""
    return F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=False)


def _downsample(channels: int, kernel: int) -> SeparableConvNorm:
    return SeparableConvNorm(channels, channels, kernel, stride=2)


def _maybe_activation(activated: bool) -> nn.Module:
    return activation() if activated else nn.Identity()


def _init_weights(module: nn.Module) -> None:
    """Ghost modules and shortcuts keep torch's default."""
    for conv in module.children():
        if isinstance(conv, nn.Conv2d):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
