"""Faster R-CNN on MobileNetV3-Large-FPN for 320-pixel images, as torchvision builds it.

Ren et al., "Faster R-CNN", arXiv 1506.01497; Lin et al., "Feature Pyramid Networks", arXiv
1612.03144; Howard et al., "Searching for MobileNetV3", arXiv 1905.02244.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import (
    FasterRCNN_MobileNet_V3_Large_320_FPN_Weights,
    fasterrcnn_mobilenet_v3_large_320_fpn,
)
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.image_list import ImageList

from harness.data.batch import Inputs, Targets
from harness.data.resize import ShortestSideResize
from harness.manifest.schema import Input
from harness.model.types import Detections
from harness_plugins.torchvision_detectors.sampling import (
    replace_samplers,
    sampling,
    share_of_all,
)
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

SIDE, LONGEST, DIVISOR = 320, 640, 32
PUBLISHED = FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1
Size = tuple[int, int]


@dataclass(frozen=True)
class RcnnOutputs:
    """Per image: proposals (P, 4) in network pixels, logits (P, classes + 1), deltas (P, 4 x)."""

    proposals: list[Tensor]
    logits: list[Tensor]
    deltas: list[Tensor]
    sizes: list[Size]


class FasterRcnn(TorchvisionDetector):
    roles = {  # noqa: RUF012
        "backbone": ("model.backbone.body",),
        "neck": ("model.backbone.fpn",),
        "rpn": ("model.rpn",),
        "roi_op": ("model.roi_heads.box_roi_pool",),
        "head": ("model.roi_heads.box_head", "model.roi_heads.box_predictor"),
    }

    def __init__(self, model: nn.Module, num_classes: int, detections_per_image: int) -> None:
        resize = ShortestSideResize(SIDE, LONGEST)
        super().__init__(model, num_classes, resize, detections_per_image)
        replace_samplers(model.rpn, model.roi_heads)
        self._fix_pooling_scales()

    @property
    def selector(self) -> Any:
        return self.model.roi_heads

    @property
    def anchor_module(self) -> Any:
        return self.model.rpn

    def network(self, inputs: Inputs) -> RcnnOutputs:
        """Images of the same padded size are processed together, others separately.

        torchvision pads a batch to its largest image; anchors in that padding and what the
        convolutions see of it would make an image's detections depend on its neighbours.
        """
        sizes = _sizes(inputs)
        groups: dict[Size, list[int]] = {}
        for i, (height, width) in enumerate(sizes):
            groups.setdefault((_round_up(height), _round_up(width)), []).append(i)
        ordered: list[Any] = [None] * len(sizes)
        for (height, width), members in groups.items():
            pixels = inputs.pixels if len(groups) == 1 else inputs.pixels[members]
            cropped = pixels[:, :, :height, :width]
            outputs = self._detect(cropped, [sizes[i] for i in members])
            for i, *of_image in zip(members, *outputs, strict=True):
                ordered[i] = of_image
        proposals, logits, deltas = (list(column) for column in zip(*ordered, strict=True))
        return RcnnOutputs(proposals, logits, deltas, sizes)

    def _detect(
        self, pixels: Tensor, sizes: list[Size]
    ) -> tuple[list[Tensor], tuple[Tensor, ...], tuple[Tensor, ...]]:
        images = _images(pixels, sizes)
        heads = self.model.roi_heads
        maps = widen_maps(self.model.backbone(images.tensors))
        proposals, _ = self.model.rpn(images, maps)
        logits, deltas = heads.box_predictor(
            heads.box_head(heads.box_roi_pool(maps, proposals, sizes))
        )
        counts = [len(p) for p in proposals]
        return proposals, logits.float().split(counts), deltas.float().split(counts)

    def postprocess(self, outputs: RcnnOutputs, inputs: Inputs) -> Detections:
        columns = self.model.roi_heads.postprocess_detections(
            torch.cat(outputs.logits), torch.cat(outputs.deltas), outputs.proposals, outputs.sizes
        )
        names = ("boxes", "scores", "labels")
        found = [dict(zip(names, image, strict=True)) for image in zip(*columns, strict=True)]
        return pad_detections(found, inputs, self.detections_per_image)

    def losses(self, inputs: Inputs, targets: Targets) -> dict[str, Tensor]:
        """As torchvision's: the whole batch together, padded to its largest image."""
        listed = list_targets(targets, inputs)
        sizes = _sizes(inputs)
        images = _images(inputs.pixels, sizes)
        maps = widen_maps(self.model.backbone(images.tensors))
        rpn, heads = self.model.rpn, self.model.roi_heads
        with sampling(targets.seeds, rpn, heads):
            proposals, of_rpn = rpn(images, maps, listed)
            _, of_head = heads(maps, proposals, sizes, listed)
        shares = [share_of_all(m.fg_bg_sampler.count, self.device) for m in (rpn, heads)]
        return {
            name: loss * share
            for losses, share in zip((of_rpn, of_head), shares, strict=True)
            for name, loss in losses.items()
        }

    @torch.no_grad()
    def _fix_pooling_scales(self) -> None:
        # torchvision infers the levels' strides from the first batch it sees, wrongly for a very
        # narrow image, and keeps them: make a square image the first
        mode = self.training
        pixels = torch.zeros(1, 3, SIDE, SIDE)
        maps = self.eval().model.backbone(pixels)
        self.model.roi_heads.box_roi_pool(maps, [torch.zeros(1, 4)], [(SIDE, SIDE)])
        self.train(mode)


def _sizes(inputs: Inputs) -> list[Size]:
    return [(height, width) for height, width in inputs.sizes.tolist()]


def _round_up(length: int) -> int:
    return -(-length // DIVISOR) * DIVISOR


def _images(pixels: Tensor, sizes: list[Size]) -> ImageList:
    """With zeros in the padding, as torchvision has it: the harness pads before normalising."""
    height, width = pixels.shape[2:]
    if any(size != (height, width) for size in sizes):
        limits = torch.tensor(sizes, device=pixels.device)[:, :, None]
        rows = torch.arange(height, device=pixels.device) < limits[:, 0]
        columns = torch.arange(width, device=pixels.device) < limits[:, 1]
        valid = rows[:, None, :, None] & columns[:, None, None, :]
        pixels = pixels.masked_fill(~valid, 0)
    return ImageList(pixels, sizes)


def build_faster_rcnn(
    num_classes: int,
    *,
    score_threshold: float,
    nms_threshold: float,
    detections_per_image: int,
    proposals: int,
    proposal_threshold: float,
    pretrained: bool,
    pretrained_backbone: bool,
    input: Input | None = None,
) -> FasterRcnn:
    """Faster R-CNN for `num_classes` classes; see `FasterRcnnParams`.

    With any pretrained weights torchvision freezes batch norm and the first half of the backbone.

    Raises:
        UserError: weights were asked for and cannot be obtained.
    """
    model = build_model(
        fasterrcnn_mobilenet_v3_large_320_fpn,
        PUBLISHED,
        num_classes,
        pretrained,
        pretrained_backbone,
        box_score_thresh=score_threshold,
        box_nms_thresh=nms_threshold,
        box_detections_per_img=detections_per_image,
        rpn_pre_nms_top_n_test=proposals,
        rpn_post_nms_top_n_test=proposals,
        rpn_score_thresh=proposal_threshold,
    )
    if pretrained:
        _fit_classes(model.roi_heads, num_classes)
    detector = FasterRcnn(model, num_classes, detections_per_image)
    detector.take_input(input)
    return detector


def _fit_classes(heads: Any, num_classes: int) -> None:
    predictor, columns = heads.box_predictor, kept_columns(PUBLISHED, num_classes)
    if columns is None:
        heads.box_predictor = FastRCNNPredictor(predictor.cls_score.in_features, num_classes + 1)
    else:
        narrow_outputs(predictor.cls_score, columns)
        narrow_outputs(predictor.bbox_pred, [4 * c + k for c in columns for k in range(4)])
