"""Pools every proposal from its map of a pyramid."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harness.model.features import FeatureSpec, RoiSpec
from harness_plugins.roi_ops import LevelParams
from harness_plugins.roi_ops.levels import (
    assign_levels,
    find_strides,
    make_rois,
    require_doubling,
)


class PyramidPooling(nn.Module, ABC):
    """Base of the RoI ops: a subclass pools the RoIs of one map.

    Args:
        part: name for messages.
        in_features: all maps of the neck.
        params: which of them are pooled.

    Raises:
        UserError: a stride has no map, or the strides do not double.
    """

    out_feature: RoiSpec

    def __init__(self, part: str, in_features: Sequence[FeatureSpec], params: LevelParams) -> None:
        super().__init__()
        require_doubling(part, params.strides)
        self.positions = find_strides(part, in_features, params.strides)
        self.params = params

    def forward(self, features: list[Tensor], boxes: Tensor) -> Tensor:
        """Pool (B, P, 4) from the maps they belong to: (B * P, C, h, w); zeros without area."""
        p = self.params
        maps = [features[position] for position in self.positions]
        rois = make_rois(boxes, p.inclusive)
        levels = assign_levels(boxes, p.finest_scale, len(maps)).flatten()
        # counting the boxes of a map would make a GPU wait; on a CPU it saves work
        share = self._pool_counted if boxes.device.type == "cpu" else self._pool_masked
        return share(maps, rois, levels)

    def _pool_masked(self, maps: list[Tensor], rois: Tensor, levels: Tensor) -> Tensor:
        """Every map pools all RoIs, those of other maps to zero; the sum is the whole."""
        total: Tensor | None = None
        for level, stride in enumerate(self.params.strides):
            images = torch.where(levels == level, rois[:, 0], -1)
            own = torch.cat([images[:, None], rois[:, 1:]], 1)
            pooled = self.pool(maps[level], own, 1 / stride)
            total = pooled if total is None else total + pooled
        assert total is not None
        return total

    def _pool_counted(self, maps: list[Tensor], rois: Tensor, levels: Tensor) -> Tensor:
        """Every map pools its own RoIs."""
        order = levels.argsort(stable=True)
        nowhere, *counts = torch.bincount(levels + 1, minlength=len(maps) + 1).tolist()
        parts = rois[order].split([nowhere, *counts])[1:]
        pooled = [
            self.pool(x, own, 1 / stride)
            for x, own, stride in zip(maps, parts, self.params.strides, strict=True)
        ]
        zeros = pooled[0].new_zeros(nowhere, *pooled[0].shape[1:])
        place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
        return torch.cat([zeros, *pooled]).index_select(0, place)

    @abstractmethod
    def pool(self, features: Tensor, rois: Tensor, scale: float) -> Tensor:
        """Pool (N, 5) RoIs from one map; a RoI with batch index -1 gives zeros."""
