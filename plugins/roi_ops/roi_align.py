"""torchvision's RoI-align (https://arxiv.org/abs/1703.06870) over a pyramid."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torchvision.ops import roi_align as torchvision_roi_align

from harness.errors import UserError
from harness.model.features import FeatureSpec, RoiSpec
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
                mend="it takes maps with the same number of channels",
            )
        self.out_feature = RoiSpec(pooled[0].channels, params.size, params.size)

    def pool(self, features: Tensor, rois: Tensor, scale: float) -> Tensor:
        elsewhere = rois[:, :1] < 0
        ratio = self.params.sampling_ratio or -1
        pooled = torchvision_roi_align(
            features, rois.clamp(min=0).to(features.dtype), self.params.size, scale, ratio, True
        )
        return pooled.masked_fill(elsewhere[..., None, None], 0)


def roi_align(in_features: Sequence[FeatureSpec], **params: Any) -> RoiAlign:
    """Factory of the declaration."""
    return RoiAlign(in_features, RoiAlignParams(**params))
