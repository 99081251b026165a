"""Parameters of ThunderNet's parts; the defaults are the published ones."""

from typing import Annotated, Literal

from pydantic import Field

from harness.plugin.declarations import Params

Count = Annotated[int, Field(gt=0)]
Number = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Numbers = Annotated[tuple[Number, ...], Field(min_length=1)]


class SNetParams(Params):
    """`variant`: 49, 146 or 535, which the paper names by millions of multiply-adds at 224x224."""

    variant: Literal[49, 146, 535] = 146


class ThunderCemParams(Params):
    """`channels`: of the map, 245 = 5 x 7 x 7 for a position-sensitive RoI op."""

    channels: Count = 245


class ThunderRpnParams(Params):
    """Anchors, proposals, and how anchors are matched, sampled and scored in training.

    Attributes:
        sides: pixels of a square anchor.
        ratios: height / width of the anchors of each size.
        hidden: channels of the map that objectness, deltas and attention are computed from.
        nms_iou: a box is dropped where it overlaps a better one by more.
        candidates: best anchors that enter NMS.
        test_proposals, train_proposals: boxes of an image that leave it.
        positive_iou, negative_iou: an anchor is positive from the one, negative below the other.
        min_positive_iou: a ground truth claims its best anchors from this IoU.
        samples: anchors of an image that are trained on; null: all.
        positive_fraction: of them, at most positive.
        beta: of the smooth L1 loss; 0: L1.
    """

    sides: Numbers = (32, 64, 128, 256, 512)
    ratios: Numbers = (0.5, 0.75, 1.0, 4 / 3, 2.0)
    hidden: Count = 256
    nms_iou: Fraction = 0.7
    candidates: Count = 2000
    test_proposals: Count = 200
    train_proposals: Count = 2000
    positive_iou: Fraction = 0.7
    negative_iou: Fraction = 0.3
    min_positive_iou: Fraction = 0.3
    samples: Count | None = 256
    positive_fraction: Fraction = 0.5
    beta: NotNegative = 0.0
