"""A neck of two ways through a pyramid, whatever its blocks are.

PAN: https://arxiv.org/abs/1803.01534.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.model.features import FeatureSpec, require_pyramid


class PathAggregation(nn.Module):
    """Top-down, then bottom-up over maps of one width, and one coarser level.

    Names of submodules are those of NanoDet-Plus's checkpoints.

    Args:
        part: its name in messages.
        in_features: the backbone's maps, finest first, each twice as coarse as the one before.
        channels: of every output map.
        reduce: channels of an input map -> what gives it `channels`.
        join: makes what gives `channels` of two maps, one after the other.
        halve: makes what halves a map's sides, rounded up.
        upsampling: to the size of the next finer map.

    Attributes:
        out_features: a map for each input map, and one of twice the coarsest stride.

    Raises:
        UserError: the maps are not a pyramid.
    """

    def __init__(
        self,
        part: str,
        in_features: Sequence[FeatureSpec],
        channels: int,
        *,
        reduce: Callable[[int], nn.Module],
        join: Callable[[], nn.Module],
        halve: Callable[[], nn.Module],
        upsampling: Literal["bilinear", "nearest"],
    ) -> None:
        super().__init__()
        require_pyramid(part, in_features)
        steps = range(len(in_features) - 1)
        self.upsampling = upsampling
        self.reduce_layers = nn.ModuleList(reduce(f.channels) for f in in_features)
        self.top_down_blocks = nn.ModuleList(join() for _ in steps)
        self.downsamples = nn.ModuleList(halve() for _ in steps)
        self.bottom_up_blocks = nn.ModuleList(join() for _ in steps)
        self.extra_lvl_in_conv = nn.ModuleList([halve()])
        self.extra_lvl_out_conv = nn.ModuleList([halve()])
        strides = [f.stride for f in in_features]
        self.out_features = tuple(
            FeatureSpec(f"p{s.bit_length() - 1}", channels, s) for s in (*strides, 2 * strides[-1])
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        reduced = [layer(x) for layer, x in zip(self.reduce_layers, features, strict=True)]
        coarsest = reduced[-1]
        merged = [coarsest]  # finest first
        for block, finer in zip(self.top_down_blocks, reversed(reduced[:-1]), strict=True):
            merged.insert(0, block(torch.cat([self.enlarge(merged[0], finer), finer], 1)))
        out = merged[:1]
        ways = zip(self.downsamples, self.bottom_up_blocks, merged[1:], strict=True)
        for downsample, block, coarser in ways:
            out.append(block(torch.cat([downsample(out[-1]), coarser], 1)))
        extra = self.extra_lvl_in_conv[0](coarsest) + self.extra_lvl_out_conv[0](out[-1])
        return [*out, extra]

    def enlarge(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """To the size of `fine`, which is twice that of `coarse` or one less."""
        # under autocast nearest upsampling gives float32: no more precise, and twice as large
        return F.interpolate(coarse, fine.shape[-2:], mode=self.upsampling).to(coarse.dtype)
