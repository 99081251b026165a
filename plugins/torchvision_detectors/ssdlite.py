"""SSDLite320 on MobileNetV3-Large, as torchvision builds it.

Sandler et al., "MobileNetV2", arXiv 1801.04381, section 6.2; Howard et al., "Searching for
MobileNetV3", arXiv 1905.02244, section 6.3; Liu et al., "SSD", arXiv 1512.02325.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import (
    SSDLite320_MobileNet_V3_Large_Weights,
    ssdlite320_mobilenet_v3_large,
)
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from harness.data.batch import Inputs, Targets
from harness.data.resize import SquashResize
from harness.errors import UserError
from harness.manifest.schema import Input
from harness.model.types import Detections
from harness_plugins.torchvision_detectors.sampling import share_of_all
from harness_plugins.torchvision_detectors.weights import (
    build_model,
    kept_columns,
    narrow_outputs,
)
from harness_plugins.torchvision_detectors.wrapping import (
    TorchvisionDetector,
    list_targets,
    pad_detections,
    widen_maps,
)

SIDE = 320
PUBLISHED = SSDLite320_MobileNet_V3_Large_Weights.COCO_V1


@dataclass(frozen=True)
class SsdOutputs:
    """For each of A default boxes: logits (B, A, classes + 1), deltas (B, A, 4), box (A, 4)."""

    logits: Tensor
    deltas: Tensor
    anchors: Tensor


class SsdLite(TorchvisionDetector):
    roles = {"backbone": ("model.backbone",), "head": ("model.head",)}  # noqa: RUF012

    def network(self, inputs: Inputs) -> SsdOutputs:
        maps = list(widen_maps(self.model.backbone(inputs.pixels)).values())
        heads = self.model.head(maps)
        # every image has the same size, so the anchors of one are those of all
        one = ImageList(inputs.pixels[:1], [tuple(inputs.pixels.shape[2:])])
        (anchors,) = self.model.anchor_generator(one, [m[:1] for m in maps])
        return SsdOutputs(heads["cls_logits"].float(), heads["bbox_regression"].float(), anchors)

    def postprocess(self, outputs: SsdOutputs, inputs: Inputs) -> Detections:
        heads = {"cls_logits": outputs.logits, "bbox_regression": outputs.deltas}
        batch, size = len(outputs.logits), tuple(inputs.pixels.shape[2:])
        found = self.model.postprocess_detections(heads, [outputs.anchors] * batch, [size] * batch)
        return pad_detections(found, inputs, self.detections_per_image)

    def losses(self, inputs: Inputs, targets: Targets) -> dict[str, Tensor]:
        """As torchvision's. UserError for a batch of one in training mode."""
        if self.training and len(inputs.pixels) == 1:
            raise UserError(
                "SSDLite cannot train on one image per step: its last map is a single cell, for "
                "which batch norm has no variance",
                hint="train.batch_size of 2 or more",
            )
        listed = list_targets(targets, inputs)
        outputs = self.network(inputs)
        heads = {"cls_logits": outputs.logits, "bbox_regression": outputs.deltas}
        matches = [self._match(target["boxes"], outputs.anchors) for target in listed]
        losses: dict[str, Tensor] = self.model.compute_loss(
            listed, heads, [outputs.anchors] * len(listed), matches
        )
        positives = max(1, sum(int((own >= 0).sum()) for own in matches))
        share = share_of_all(positives, self.device)
        return {name: loss * share for name, loss in losses.items()}

    def _match(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        """(A,) index of the box that each anchor is matched to, -1 for none."""
        if not len(boxes):
            return torch.full((len(anchors),), -1, dtype=torch.int64, device=anchors.device)
        matches: Tensor = self.model.proposal_matcher(box_iou(boxes, anchors))
        return matches


def build_ssdlite(
    num_classes: int,
    *,
    score_threshold: float,
    nms_threshold: float,
    detections_per_image: int,
    topk_candidates: int,
    pretrained: bool,
    pretrained_backbone: bool,
    input: Input | None = None,
) -> SsdLite:
    """SSDLite320 for `num_classes` classes; see `SsdLiteParams`.

    Without ImageNet weights torchvision halves the width of the backbone's last stage.

    Raises:
        UserError: weights were asked for and cannot be obtained.
    """
    model = build_model(
        ssdlite320_mobilenet_v3_large,
        PUBLISHED,
        num_classes,
        pretrained,
        pretrained_backbone,
        score_thresh=score_threshold,
        nms_thresh=nms_threshold,
        detections_per_img=detections_per_image,
        topk_candidates=topk_candidates,
    )
    if pretrained:
        _fit_classes(model, num_classes)
    detector = SsdLite(model, num_classes, SquashResize(SIDE, SIDE), detections_per_image)
    detector.take_input(input)
    return detector


def _fit_classes(model: Any, num_classes: int) -> None:
    """Output channels run over classes fastest; class layers that do not fit start fresh."""
    head, columns = model.head.classification_head, kept_columns(PUBLISHED, num_classes)
    chosen = columns or [0] * (num_classes + 1)
    per_cell = model.anchor_generator.num_anchors_per_location()
    for block, anchors in zip(head.module_list, per_cell, strict=True):
        layer = block[-1]
        narrow_outputs(layer, [a * head.num_columns + c for a in range(anchors) for c in chosen])
        if columns is None:  # as torchvision draws them
            nn.init.normal_(layer.weight, std=0.03)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    head.num_columns = num_classes + 1
