"""Position-sensitive RoI-align as TinyDet's RoI op (arXiv 2304.03428; arXiv 1605.06409)."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from harness.errors import UserError
from harness.model.features import FeatureSpec, RoiSpec
from harness.ops import psroi_align_multilevel
from harness_plugins.roi_ops import PsRoiAlignParams
from harness_plugins.roi_ops.pooling import PyramidPooling


class PsRoiAlign(PyramidPooling):
    """Each cell of the pooled map reads channels of its own.

    Args:
        in_features: all maps of the neck.
        params: maps, sizes, points.
        reduce: "max" or "mean" of a cell's points.

    Raises:
        UserError: the maps do not fit.
    """

    params: PsRoiAlignParams

    def __init__(
        self, in_features: Sequence[FeatureSpec], params: PsRoiAlignParams, reduce: str
    ) -> None:
        part = f"psroi_align_{reduce}"
        super().__init__(part, in_features, params)
        self.reduce = reduce
        self.out_feature = RoiSpec(params.channels, params.size, params.size)
        wanted = params.channels * params.size**2
        for feature in (in_features[position] for position in self.positions):
            if feature.channels != wanted:
                raise UserError(
                    f"{part} is given {feature} but pools {self.out_feature}",
                    hint=f"it takes maps of {wanted} channels",
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
