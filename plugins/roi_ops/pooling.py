"""Pools every proposal from its map of a pyramid."""

from collections.abc import Sequence

from torch import Tensor, nn

from harness.model.features import FeatureSpec, RoiSpec
from harness_plugins.roi_ops import LevelParams
from harness_plugins.roi_ops.levels import find_strides, require_doubling, split_rois


class PyramidPooling(nn.Module):
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
        """Pool (B, P, 4) from the maps they belong to: (B * P, C, h, w)."""
        p = self.params
        rois = split_rois(boxes, p.finest_scale, len(p.strides), p.inclusive)
        pooled = [
            self.pool(features[position], level_rois, 1 / stride)
            for position, level_rois, stride in zip(self.positions, rois, p.strides, strict=True)
        ]
        total = pooled[0]
        for level in pooled[1:]:
            total = total + level
        return total

    def pool(self, features: Tensor, rois: Tensor, scale: float) -> Tensor:
        """Pool (N, 5) RoIs from one map; a RoI with batch index -1 gives zeros."""
        raise NotImplementedError
