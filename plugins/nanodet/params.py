"""Parameters of NanoDet-Plus's parts; the defaults are those of NanoDet-Plus-m."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from harness.plugin.declarations import Params


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("should be odd")
    return value


Count = Annotated[int, Field(gt=0)]
Odd = Annotated[Count, AfterValidator(_odd)]
Number = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class ShuffleNetParams(Params):
    """`width`: which of the paper's four networks."""

    # pydantic takes numbers as literals, which typing does not know
    width: Literal[0.5, 1.0, 1.5, 2.0] = 1.0  # type: ignore[valid-type]


class GhostPanParams(Params):
    """`kernel`: of shortcuts and strided convolutions."""

    channels: Count = 96
    kernel: Odd = 5


class NanoDetHeadParams(Params):
    """Layers, training and final selection.

    Attributes:
        reg_max: the largest distance from a point to a side, in strides.
        kernel: of the depthwise convolutions.
        layers: separable convolutions before the last one.
        quality_weight, giou_weight, distribution_weight: of the three losses.
        min_score: a detection needs more.
        nms_iou: a box is dropped where it overlaps a better one of its class by more.
        candidates: pairs of a point and a class that enter NMS at most, the best of an image.
        detections: of an image, over all classes.
        largest: a ground truth takes as many points as the sum of its so many largest IoUs.
        iou_weight: of the logarithm of the IoU in the cost of a match.
        auxiliary: whether an auxiliary branch assigns points in training.
        attached_epochs: so long its gradient reaches backbone and neck.
    """

    reg_max: Count = 7
    kernel: Odd = 5
    layers: Count = 2
    quality_weight: Number = 1.0
    giou_weight: Number = 2.0
    distribution_weight: Number = 0.25
    min_score: Fraction = 0.05
    nms_iou: Fraction = 0.6
    candidates: Count = 8192
    detections: Count = 100
    largest: Count = 13
    iou_weight: Number = 3.0
    auxiliary: bool = True
    attached_epochs: Annotated[int, Field(ge=0)] = 10
