"""torchvision's RoI-align (https://arxiv.org/abs/1703.06870) over a pyramid."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import roi_align as torchvision_roi_align

from harness.errors import UserError
from harness.model.features import FeatureSpec, RoiSpec
from harness.ops.levels import assign_levels, make_rois
from harness_plugins.roi_ops import RoiAlignParams
from harness_plugins.roi_ops.pooling import PyramidPooling


class RoiAlign(PyramidPooling):
    """Bilinear reads shifted by half a pixel, averaged over each cell.

    Args:
        in_features: all maps of the neck; those that are pooled must be of one width.
        params: maps, size, points.

    Raises:
        UserError: the maps do not fit.
    """

    params: RoiAlignParams

    def __init__(self, in_features: Sequence[FeatureSpec], params: RoiAlignParams) -> None:
        super().__init__("roi_align", in_features, params)
        pooled = [in_features[position] for position in self.positions]
        if any(feature.channels != pooled[0].channels for feature in pooled):
            raise UserError(
                f"roi_align is given {', '.join(map(str, pooled))}",
                hint="it takes maps with the same number of channels",
            )
        self.out_feature = RoiSpec(pooled[0].channels, params.size, params.size)

    def pool(self, maps: list[Tensor], boxes: Tensor) -> Tensor:
        p = self.params
        rois = make_rois(boxes, p.inclusive)
        levels = assign_levels(boxes, p.finest_scale, len(maps)).flatten()
        # counting the boxes of a map would make a GPU wait; on a CPU it saves work
        share = self._pool_counted if boxes.device.type == "cpu" else self._pool_masked
        return share(maps, rois, levels)

    def _pool_masked(self, maps: list[Tensor], rois: Tensor, levels: Tensor) -> Tensor:
        """Every map pools all RoIs; each keeps what its own map gave."""
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
        parts = rois[order].split([nowhere, *counts])[1:]
        pooled = [
            self._pool_map(x, own, 1 / stride)
            for x, own, stride in zip(maps, parts, self.params.strides, strict=True)
        ]
        zeros = pooled[0].new_zeros(nowhere, *pooled[0].shape[1:])
        place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
        return torch.cat([zeros, *pooled]).index_select(0, place)

    def _pool_map(self, features: Tensor, rois: Tensor, scale: float) -> Tensor:
        ratio = self.params.sampling_ratio or -1
        return torchvision_roi_align(
            features, rois.to(features.dtype), self.params.size, scale, ratio, True
        )


def roi_align(in_features: Sequence[FeatureSpec], **params: Any) -> RoiAlign:
    """Factory of the declaration."""
    return RoiAlign(in_features, RoiAlignParams(**params))
