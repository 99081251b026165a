"""TinyFPN: a feature pyramid whose fine levels are cheap because they are sparsely connected.

Paper: https://arxiv.org/abs/2304.03428, section 3.2; after https://arxiv.org/abs/1612.03144.
"""

from collections.abc import Iterable, Sequence
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from harness.errors import UserError
from harness.model.features import FeatureSpec, describe_specs, require_pyramid
from harness_plugins.tinydet.separable import (
    FusedSeparable,
    SeparableConv,
    aligned,
    bias_of,
    pad_outputs,
    require_groups,
    trains_on_gpu,
    widen,
)


class Lateral(nn.Module):
    """1x1 convolution; published checkpoints name it `conv` inside a module of its own."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        if trains_on_gpu(x):  # as many channels as the convolutions after it need
            return F.conv2d(x, *pad_outputs(self.conv, aligned(self.conv.out_channels)))
        out: Tensor = self.conv(x)
        return out


class TinyFpn(nn.Module):
    """Top-down pyramid; each level ends in a depthwise 3x3 and a grouped 1x1 convolution.

    Args:
        in_features: the backbone's maps, finest first, each twice as coarse as the one before.
        channels: of every output map.
        groups: of the 1x1 convolution at each level, finest first; None: dense everywhere.

    Attributes:
        out_features: one map per input map, at the same stride.

    Raises:
        UserError: the maps are not a pyramid, or `groups` does not fit them.
    """

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        channels: int = 245,
        groups: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        require_pyramid("tiny_fpn", in_features)
        groups = _check_groups(groups, in_features, channels)
        self.lateral_convs = nn.ModuleList(Lateral(f.channels, channels) for f in in_features)
        self.fpn_convs = nn.ModuleList(SeparableConv(channels, g) for g in groups)
        self.fused: FusedSeparable | None = None
        self.out_features = tuple(
            FeatureSpec(f"p{f.stride.bit_length() - 1}", channels, f.stride) for f in in_features
        )
        for conv in (m for m in self.modules() if isinstance(m, nn.Conv2d)):
            nn.init.xavier_uniform_(conv.weight)
            nn.init.zeros_(bias_of(conv))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        laterals = [lateral(x) for lateral, x in zip(self.lateral_convs, features, strict=True)]
        for i in range(len(laterals) - 1, 0, -1):
            size, coarse = laterals[i - 1].shape[-2:], laterals[i]
            # under autocast nearest upsampling gives float32: no more precise, and twice as large
            finer = F.interpolate(coarse, size, mode="nearest").to(coarse.dtype)
            laterals[i - 1] = laterals[i - 1] + finer
        if self.fused is not None:
            maps: list[Tensor] = self.fused(laterals)
            return maps
        return [conv(x) for conv, x in zip(self.fpn_convs, laterals, strict=True)]

    def fuse_for_inference(self) -> None:
        """All levels' separable convolutions in one launch.

        Laterals get a multiple of 8 channels, which 16-bit kernels take as they are; the added
        ones are never read.
        """
        convs = cast("Iterable[SeparableConv]", self.fpn_convs)
        self.fused = FusedSeparable([conv.layers for conv in convs])
        for lateral in cast("Iterable[Lateral]", self.lateral_convs):
            lateral.conv = widen(lateral.conv, self.fused.padded)


def _check_groups(
    groups: Sequence[int] | None, in_features: Sequence[FeatureSpec], channels: int
) -> Sequence[int]:
    if groups is None:
        return [1] * len(in_features)
    if len(groups) != len(in_features):
        raise UserError(
            f"tiny_fpn has groups for {len(groups)} levels but is given "
            f"{len(in_features)}: {describe_specs(in_features)}",
            hint="give one number per level, finest first",
        )
    for count in groups:
        require_groups("tiny_fpn", channels, count)
    return groups
