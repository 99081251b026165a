"""Parameters of TinyDet's parts; the defaults are the published system's."""

from typing import Annotated

from pydantic import Field

from harness.plugin.declarations import Params

Count = Annotated[int, Field(gt=0)]
Number = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class TinyFpnParams(Params):
    """`groups`: of the 1x1 convolution of each level, finest first; absent: dense everywhere."""

    channels: Count = 245
    groups: tuple[Count, ...] | None = None


class TinyRpnParams(Params):
    """Anchors, proposals, and how anchors are matched, sampled and scored in training.

    Attributes:
        anchor_scale: side of a square anchor in strides.
        ratios: height / width of the anchors of a cell.
        groups: of the 1x1 convolution.
        nms_iou: a box is dropped where it overlaps a better one of its level by more.
        test_per_level, train_per_level: best anchors of a level that enter NMS.
        test_proposals, train_proposals: boxes of an image that leave it.
        positive_iou, negative_iou: an anchor is positive from the one, negative below the other.
        min_positive_iou: a ground truth claims its best anchors from this IoU.
        samples: anchors of an image that are trained on; null: all.
        positive_fraction: of them, at most positive.
        beta: of the smooth L1 loss.
    """

    anchor_scale: Number = 2.25
    ratios: Annotated[tuple[Number, ...], Field(min_length=1)] = (0.5, 1.0, 2.0)
    groups: Count = 49
    nms_iou: Fraction = 0.7
    test_per_level: Count = 1000
    test_proposals: Count = 200
    train_per_level: Count = 2000
    train_proposals: Count = 2000
    positive_iou: Fraction = 0.5
    negative_iou: Fraction = 0.3
    min_positive_iou: Fraction = 0.3
    samples: Count | None = 256
    positive_fraction: Fraction = 0.5
    beta: Number = 1 / 9


class TinyBoxHeadParams(Params):
    """Layers, training and final selection of the box head.

    Attributes:
        hidden: width of the shared layer.
        stds: deltas are divided by them.
        positive_iou: a proposal from this IoU is an object, below it background.
        samples: proposals of an image that are trained on, the hardest first.
        positive_fraction: of them, at most positive.
        beta: of the smooth L1 loss.
        min_score: a detection needs more.
        soft_nms_iou: overlaps beyond it lower a score in proportion.
        soft_nms_min_score: a lowered score below it drops the detection.
        detections: of an image, over all classes.
    """

    hidden: Count = 1024
    stds: tuple[Number, Number, Number, Number] = (0.1, 0.1, 0.2, 0.2)
    positive_iou: Fraction = 0.5
    samples: Count = 512
    positive_fraction: Fraction = 0.25
    beta: Number = 1.0
    min_score: Fraction = 0.01
    soft_nms_iou: Fraction = 0.5
    soft_nms_min_score: Fraction = 0.001
    detections: Count = 100
