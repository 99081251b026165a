"""Parameters of RetinaNet's head.

Anchors, matching, losses and selection are the published ones by default; the layers are a light
variant's, for detectors of about 1 GFLOP. The published layers are `hidden: 256`,
`depthwise: false`, `norm: none` and `scales_per_octave: 3`.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.plugin.declarations import Params

Count = Annotated[int, Field(gt=0)]
Number = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class RetinaHeadParams(Params):
    """Layers, anchors, training and final selection of the head.

    Attributes:
        hidden: channels of its convolutions.
        convolutions: of each of its two branches, before the last one.
        depthwise: 3x3 convolutions are depthwise, each with a 1x1 after it.
        norm: `batch`, with statistics of each level's own, or `none`.
        scales_per_octave: sizes of anchors of a cell, from one level's to the next one's.
        ratios: height / width of the anchors of each size.
        anchor_scale: side of the smallest square anchor in strides.
        whole_pixels: sides of square anchors are cut, and the corners of all rounded, to whole
            pixels, as torchvision does.
        positive_iou, negative_iou: an anchor is positive from the one, negative below the other.
        min_positive_iou: a ground truth claims its best anchors from this IoU; at 0 whatever it is,
            as long as they touch it.
        alpha: weight of positive classes in the focal loss, 1 - alpha of the others.
        gamma: how much the focal loss favours what is hard.
        box_loss: of deltas (`l1`) or of boxes (`giou`).
        box_weight: of that loss.
        min_score: a detection needs more.
        candidates: pairs of an anchor and a class that enter NMS at most, the best of a level.
        nms_iou: a box is dropped where it overlaps a better one of its class by more.
        detections: of an image, over all classes.
    """

    hidden: Count = 64
    convolutions: Count = 4
    depthwise: bool = True
    norm: Literal["none", "batch"] = "batch"
    scales_per_octave: Count = 2
    ratios: Annotated[tuple[Number, ...], Field(min_length=1)] = (0.5, 1.0, 2.0)
    anchor_scale: Number = 4.0
    whole_pixels: bool = False
    positive_iou: Fraction = 0.5
    negative_iou: Fraction = 0.4
    min_positive_iou: Fraction = 0.0
    alpha: Fraction = 0.25
    gamma: NotNegative = 2.0
    box_loss: Literal["l1", "giou"] = "l1"
    box_weight: Number = 1.0
    min_score: Fraction = 0.05
    candidates: Count = 1000
    nms_iou: Fraction = 0.5
    detections: Count = 100

    @model_validator(mode="after")
    def _require_order(self) -> "RetinaHeadParams":
        if self.negative_iou > self.positive_iou:
            raise ValueError("negative_iou should not be above positive_iou")
        return self
