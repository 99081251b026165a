"""A two-stage detector assembled from parts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from harness.data.batch import Inputs, Targets
from harness.manifest.schema import Input
from harness.model.assemble import PartsBuilder
from harness.model.assembled import AssembledDetector
from harness.model.types import AnchorLevel, Detections, Proposals


@dataclass(frozen=True)
class TwoStageOutputs:
    """Proposals with the box head's outputs for them, (B * P, ...)."""

    proposals: Proposals
    logits: Tensor
    deltas: Tensor


class TwoStageDetector(AssembledDetector):
    """backbone -> neck -> RPN -> RoI op -> box head.

    The RoI op pools from the neck's maps, or from what the RPN makes of them (`roi_maps`).

    The modules are registered as `rpn_head` and `bbox_head`, the names that published
    checkpoints use, and read as `rpn` and `box_head`.
    """

    roles: Mapping[str, tuple[str, ...]] = {
        "backbone": ("backbone",),
        "neck": ("neck",),
        "rpn": ("rpn_head",),
        "roi_op": ("roi_pool",),
        "head": ("bbox_head",),
    }

    # proposals, pooling and NMS are ops of our own
    segments = ("dense", "classify")

    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck: nn.Module,
        rpn: nn.Module,
        roi_pool: nn.Module,
        box_head: nn.Module,
        classes: tuple[str, ...],
        given: Input,
    ) -> None:
        super().__init__(classes, given)
        self.backbone, self.neck, self.rpn_head = backbone, neck, rpn
        self.roi_pool, self.bbox_head = roi_pool, box_head

    @property
    def selection(self) -> Mapping[str, Any]:  # type: ignore[override]
        chosen: Mapping[str, Any] = getattr(self.bbox_head, "selection", {})
        return chosen

    @property
    def rpn(self) -> Any:
        return self.rpn_head

    @property
    def box_head(self) -> Any:
        return self.bbox_head

    def anchor_levels(self, size: tuple[int, int]) -> list[AnchorLevel]:
        lay = getattr(self.rpn, "anchor_levels", None)
        levels: list[AnchorLevel] = [] if lay is None else lay(size)
        return levels

    @property
    def positive_iou(self) -> float | None:
        limit: float | None = getattr(self.rpn, "positive_iou", None)
        return limit

    def features(self, pixels: Tensor) -> list[Tensor]:
        """Normalised (B, 3, H, W) -> the neck's maps."""
        maps: list[Tensor] = self.neck(self.backbone(pixels))
        return maps

    def dense(self, pixels: Tensor) -> tuple[list[Tensor], Any]:
        """Normalised (B, 3, H, W) -> the maps that are pooled from, and the RPN's outputs."""
        maps = self.features(pixels)
        outputs = self.rpn(maps)
        return roi_maps(self.rpn, maps, outputs), outputs

    def classify(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled maps -> the box head's logits and deltas."""
        found: tuple[Tensor, Tensor] = self.box_head(pooled)
        return found

    def network(self, inputs: Inputs) -> TwoStageOutputs:
        maps, outputs = self.dense(inputs.pixels)
        proposals = self.rpn.propose(outputs)
        logits, deltas = self.classify(self.roi_pool(maps, proposals.boxes))
        return TwoStageOutputs(proposals, logits, deltas)

    def postprocess(self, outputs: TwoStageOutputs, inputs: Inputs) -> Detections:
        found: Detections = self.box_head.detect(
            outputs.proposals, outputs.logits, outputs.deltas, inputs
        )
        return found

    def losses(self, inputs: Inputs, targets: Targets) -> dict[str, Tensor]:
        boxes = self.box_head.frame.to_network(targets.boxes, inputs)
        targets = replace(targets, boxes=boxes)
        maps, outputs = self.dense(inputs.pixels)
        losses: dict[str, Tensor] = self.rpn.losses(outputs, targets)
        proposals = self.rpn.propose(outputs)
        head = self.box_head.losses(proposals, targets, lambda rois: self.roi_pool(maps, rois))
        return {**losses, **head}


def roi_maps(rpn: Any, maps: list[Tensor], outputs: Any) -> list[Tensor]:
    """What the RoI op pools from: the neck's maps, unless the RPN has a `roi_maps` of its own."""
    own = getattr(rpn, "roi_maps", None)
    found: list[Tensor] = maps if own is None else own(maps, outputs)
    return found


def assemble_two_stage(builder: PartsBuilder) -> TwoStageDetector:
    """Target of the architecture."""
    size, classes = builder.input.size, len(builder.classes)
    backbone, neck = builder.build_pyramid()
    rpn = builder.build("rpn", neck.out_features, image_size=size)
    pool = builder.build("roi_op", neck.out_features)
    head = builder.build("box_head", pool.out_feature, num_classes=classes, image_size=size)
    return TwoStageDetector(
        backbone=backbone,
        neck=neck,
        rpn=rpn,
        roi_pool=pool,
        box_head=head,
        classes=builder.classes,
        given=builder.input,
    )
