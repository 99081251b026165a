"""Parameters of PicoDet's parts; the defaults are those of PicoDet-S."""

from typing import Annotated

from pydantic import AfterValidator, Field

from harness.plugin.declarations import Params

UNITS = (3, 7, 3)  # of the three stages


def _of_every_unit(value: tuple[int, ...]) -> tuple[int, ...]:
    if len(value) != sum(UNITS):
        raise ValueError(f"should be {sum(UNITS)} numbers, {', '.join(map(str, UNITS))} of a stage")
    return value


Count = Annotated[int, Field(gt=0)]
Even = Annotated[int, Field(gt=0, multiple_of=2)]
# a unit squeezes half of its hidden channels to a quarter
Hidden = Annotated[int, Field(ge=8, multiple_of=2)]
Number = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class EsNetParams(Params):
    """Channels of the backbone.

    Attributes:
        channels: of the three maps; those of M are 128, 256, 512, of L 160, 320, 640.
        hidden: within each of the units, in their order.
    """

    channels: tuple[Even, Even, Even] = (96, 192, 384)
    hidden: Annotated[tuple[Hidden, ...], AfterValidator(_of_every_unit)] = (
        88, 48, 48, 96, 120, 96, 120, 96, 96, 96, 192, 192, 192,
    )  # fmt: skip


class CspPanParams(Params):
    """`channels`: of every map."""

    channels: Even = 96


class PicoHeadParams(Params):
    """Layers, training and final selection.

    Attributes:
        layers: separable convolutions before the last one; 2 in PicoDet-S, 4 in M and L.
        reg_max: the largest distance from a point to a side, in strides.
        class_weight, giou_weight, distribution_weight: of the three losses.
        radius: strides from a ground truth's centre to its candidates.
        largest: a ground truth takes as many points as the sum of its so many largest IoUs.
        iou_weight: of 1 - GIoU in the cost of a match.
        min_score: a detection needs more.
        nms_iou: a box is dropped where it overlaps a better one of its class by more.
        candidates: pairs of a point and a class that enter NMS at most, the best of an image.
        detections: of an image, over all classes.
    """

    layers: Count = 2
    reg_max: Count = 7
    class_weight: Number = 1.0
    giou_weight: Number = 2.0
    distribution_weight: Number = 0.25
    radius: Number = 2.5
    largest: Count = 10
    iou_weight: Number = 6.0
    min_score: Fraction = 0.025
    nms_iou: Fraction = 0.6
    candidates: Count = 8192
    detections: Count = 100
