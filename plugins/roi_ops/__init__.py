"""RoI ops: PSRoI-align with maximum or mean, and torchvision's RoI-align."""

from typing import Annotated

from pydantic import Field

from harness.plugin.declarations import Params, RoiOp
from harness.plugin.hookspecs import hookimpl

Count = Annotated[int, Field(gt=0)]

_HERE = "harness_plugins.roi_ops.pooling"


class LevelParams(Params):
    """Which maps are pooled, and how boxes are assigned to them.

    Attributes:
        strides: of the maps, finest first, at most 8.
        finest_scale: boxes of this side in pixels and below go to the finest map; each doubling
            goes one map up.
        sampling_ratio: points per side of a cell; 0: as many as pixels.
        inclusive: a box spans from its first to its last pixel, one less than its width.
    """

    strides: Annotated[tuple[Count, ...], Field(min_length=1, max_length=8)]
    finest_scale: Annotated[float, Field(gt=0)]
    sampling_ratio: Annotated[int, Field(ge=0)] = 2
    inclusive: bool = True


class PsRoiAlignParams(LevelParams):
    """The maps must have `channels` * `size`^2 channels."""

    channels: Count = 5
    size: Count = 7


class RoiAlignParams(LevelParams):
    size: Count = 7
    inclusive: bool = False


@hookimpl
def harness_roi_ops() -> list[RoiOp]:
    return [
        RoiOp(
            "psroi_align_max",
            f"{_HERE}:psroi_align_max",
            PsRoiAlignParams,
            "Position-sensitive RoI-align, maximum of a cell's points (TinyDet)",
        ),
        RoiOp(
            "psroi_align_mean",
            f"{_HERE}:psroi_align_mean",
            PsRoiAlignParams,
            "Position-sensitive RoI-align, mean of a cell's points",
        ),
        RoiOp("roi_align", f"{_HERE}:roi_align", RoiAlignParams, "torchvision's RoI-align"),
    ]
