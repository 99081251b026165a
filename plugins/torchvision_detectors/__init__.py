"""torchvision's small detectors, whole, for comparison."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from harness.plugin.declarations import Params, WholeDetector
from harness.plugin.hookspecs import hookimpl

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(gt=0)]


class TorchvisionParams(Params):
    """Parameters of both detectors; the defaults are torchvision's.

    Attributes:
        score_threshold: detections below it are dropped.
        nms_threshold: IoU above which the lower-scored box of a class is dropped.
        detections_per_image: best ones kept; note that COCO's AP looks at 100 at most.
        pretrained: start from torchvision's COCO weights. With 80 classes (in COCO's order) or
            90 (its ids) this includes the class layers, otherwise those start fresh.
        pretrained_backbone: start from torchvision's ImageNet weights.
    """

    score_threshold: Fraction
    nms_threshold: Fraction
    detections_per_image: Count
    pretrained: bool = False
    pretrained_backbone: bool = False

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.pretrained and self.pretrained_backbone:
            raise ValueError("'pretrained' includes the backbone: leave 'pretrained_backbone' out")
        return self


class SsdLiteParams(TorchvisionParams):
    """`topk_candidates`: best boxes of each class that enter NMS."""

    score_threshold: Fraction = 0.001
    nms_threshold: Fraction = 0.55
    detections_per_image: Count = 300
    topk_candidates: Count = 300


class FasterRcnnParams(TorchvisionParams):
    """`proposals`: RPN boxes, before its NMS and after it; `proposal_threshold`: their score."""

    score_threshold: Fraction = 0.05
    nms_threshold: Fraction = 0.5
    detections_per_image: Count = 100
    proposals: Count = 150
    proposal_threshold: Fraction = 0.05


@hookimpl
def harness_detectors() -> list[WholeDetector]:
    return [
        WholeDetector(
            name="ssdlite320_mobilenet_v3_large",
            target="harness_plugins.torchvision_detectors.ssdlite:build_ssdlite",
            params=SsdLiteParams,
            summary="torchvision's SSDLite on MobileNetV3-Large, stretched to 320x320",
            takes=("input",),
        ),
        WholeDetector(
            name="fasterrcnn_mobilenet_v3_large_320_fpn",
            target="harness_plugins.torchvision_detectors.faster_rcnn:build_faster_rcnn",
            params=FasterRcnnParams,
            summary="torchvision's Faster R-CNN on MobileNetV3-Large-FPN, shortest side 320",
            takes=("input",),
        ),
    ]
