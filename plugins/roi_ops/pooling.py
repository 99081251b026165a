"""Pools every proposal from its map of a pyramid.

`PsRoiAlign` is TinyDet's RoI op (arXiv 2304.03428; R-FCN, arXiv 1605.06409), `RoiAlign`
torchvision's (https://arxiv.org/abs/1703.06870).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import UserError
from harness.model.features import (
    FeatureSpec,
    RoiSpec,
    find_strides,
    require_one_width,
    strides_double,
)
from harness.ops import psroi_align_multilevel
from harness.ops.boxes import assign_levels, make_rois
from harness_plugins.roi_ops import LevelParams, PsRoiAlignParams, RoiAlignParams


class PyramidPooling(nn.Module, ABC):
    """Base of the RoI ops: finds the neck's maps that are pooled.

    Args:
        part: name for messages.
        in_features: all maps of the neck.
        params: which maps are pooled.

    Raises:
        UserError: a stride has no map, or the strides do not double.
    """

    out_feature: RoiSpec

    def __init__(self, part: str, in_features: Sequence[FeatureSpec], params: LevelParams) -> None:
        super().__init__()
        if not strides_double(params.strides):
            raise UserError(
                f"{part} has strides {', '.join(map(str, params.strides))}",
                hint="each must be twice the one before",
            )
        self.positions = find_strides(part, in_features, params.strides)
        self.params = params

    def forward(self, features: list[Tensor], boxes: Tensor) -> Tensor:
        """Pool (B, P, 4) boxes, each from its map: (B * P, C, h, w); zeros without area."""
        return self.pool([features[position] for position in self.positions], boxes)

    @abstractmethod
    def pool(self, maps: list[Tensor], boxes: Tensor) -> Tensor:
        """As `forward`, given only the pooled maps, finest first."""


class PsRoiAlign(PyramidPooling):
    """Each cell of the result reads its own channels.

    Args:
        in_features: all maps of the neck.
        params: maps, sizes, points.
        reduce: "max" or "mean" of a cell's points.

    Raises:
        UserError: the maps have other strides or channels.
    """

    params: PsRoiAlignParams

    def __init__(
        self, in_features: Sequence[FeatureSpec], params: PsRoiAlignParams, reduce: str
    ) -> None:
        part = f"psroi_align_{reduce}"
        super().__init__(part, in_features, params)
        self.reduce = reduce
        self.out_feature = RoiSpec(params.channels, params.size, params.size)
        channels = params.channels * params.size**2
        for feature in (in_features[position] for position in self.positions):
            if feature.channels != channels:
                raise UserError(
                    f"{part} is given {feature} but pools {self.out_feature}",
                    hint=f"it takes maps of {channels} channels",
                )

    def pool(self, maps: list[Tensor], boxes: Tensor) -> Tensor:
        p = self.params
        return psroi_align_multilevel(
            maps,
            boxes,
            p.strides,
            p.finest_scale,
            p.size,
            p.channels,
            p.sampling_ratio,
            self.reduce,
            p.inclusive,
        )


def psroi_align_max(in_features: Sequence[FeatureSpec], **params: Any) -> PsRoiAlign:
    """Factory of the declaration."""
    return PsRoiAlign(in_features, PsRoiAlignParams(**params), "max")


def psroi_align_mean(in_features: Sequence[FeatureSpec], **params: Any) -> PsRoiAlign:
    """Factory of the declaration."""
    return PsRoiAlign(in_features, PsRoiAlignParams(**params), "mean")


class RoiAlign(PyramidPooling):
    """Bilinear reads shifted by half a pixel, averaged over each cell.

    Args:
        in_features: all maps of the neck; the pooled ones must have equally many channels.
        params: maps, size, points.

    Raises:
        UserError: the maps have other strides, or differ in channels.
    """

    params: RoiAlignParams

    def __init__(self, in_features: Sequence[FeatureSpec], params: RoiAlignParams) -> None:
        from torchvision.ops import roi_align  # takes seconds to import, for one op of three

        super().__init__("roi_align", in_features, params)
        self.sample = roi_align
        pooled = [in_features[position] for position in self.positions]
        require_one_width("roi_align", pooled)
        self.out_feature = RoiSpec(pooled[0].channels, params.size, params.size)

    def pool(self, maps: list[Tensor], boxes: Tensor) -> Tensor:
        p = self.params
        rois = make_rois(boxes, p.inclusive)
        levels = assign_levels(boxes, p.finest_scale, len(maps)).flatten()
        # counting the boxes of each map would synchronise with a GPU; on a CPU it saves work
        share = self._pool_counted if boxes.device.type == "cpu" else self._pool_masked
        return share(maps, rois, levels)

    def _pool_masked(self, maps: list[Tensor], rois: Tensor, levels: Tensor) -> Tensor:
        """Every map pools all RoIs; each keeps the result of its own map."""
        total: Tensor | None = None
        for level, stride in enumerate(self.params.strides):
            elsewhere = (levels != level)[:, None, None, None]
            pooled = self._pool_map(maps[level], rois, 1 / stride).masked_fill(elsewhere, 0)
            total = pooled if total is None else total + pooled
        assert total is not None
        return total

    def _pool_counted(self, maps: list[Tensor], rois: Tensor, levels: Tensor) -> Tensor:
        """Every map pools its own RoIs."""
        order = levels.argsort(stable=True)
        nowhere, *counts = torch.bincount(levels + 1, minlength=len(maps) + 1).tolist()
        parts = torch.split(rois[order], [nowhere, *counts])[1:]
        pooled = [
            self._pool_map(x, own, 1 / stride)
            for x, own, stride in zip(maps, parts, self.params.strides, strict=True)
        ]
        zeros = pooled[0].new_zeros(nowhere, *pooled[0].shape[1:])
        place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
        return torch.cat([zeros, *pooled]).index_select(0, place)

    def _pool_map(self, features: Tensor, rois: Tensor, scale: float) -> Tensor:
        ratio = self.params.sampling_ratio or -1
        pooled: Tensor = self.sample(
            features, rois.to(features.dtype), self.params.size, scale, ratio, True
        )
        return pooled


def roi_align(in_features: Sequence[FeatureSpec], **params: Any) -> RoiAlign:
    """Factory of the declaration."""
    return RoiAlign(in_features, RoiAlignParams(**params))
