"""RetinaNet's head: at every anchor of every map a score for each class, and a box.

Paper: https://arxiv.org/abs/1708.02002. What it leaves open (where in a cell anchors are, that
ground truths claim their best anchors) is torchvision's.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.data.batch import Targets
from harness.model.anchors import centered_anchors, check_maps, check_size, grid_anchors
from harness.model.box_losses import IGNORED, check_labels, match_boxes, matched_rows
from harness.model.candidates import Candidates, rank_candidates
from harness.model.features import (
    FeatureSpec,
    require_one_width,
    require_pyramid,
    require_strides_divide,
)
from harness.model.parts import TrainingMaps
from harness.model.processes import mean_over_processes
from harness.model.types import AnchorLevel, BoxFrame
from harness.ops import pairwise_ious, select_boxes
from harness.ops.boxes import clip_boxes, decode_boxes, encode_boxes, giou_losses
from harness_plugins.retina.branches import Branch
from harness_plugins.retina.losses import focal_losses
from harness_plugins.retina.params import RetinaHeadParams

PRIOR = 0.01  # score of every class at the start
MAX_LOG_RATIO = math.log(1000 / 16)  # the largest change of a side's logarithm
TOUCH = torch.finfo(torch.float32).tiny  # IoU of what overlaps at all


@dataclass(frozen=True)
class RetinaOutputs:
    """For A anchors of each cell.

    Attributes:
        logits: (B, A * C, H, W) per level, the classes of an anchor side by side.
        deltas: (B, A * 4, H, W) per level, see `decode_boxes`.
    """

    logits: tuple[Tensor, ...]
    deltas: tuple[Tensor, ...]


class RetinaHead(nn.Module):
    """A classifying and a localising branch, each shared over all maps.

    Args:
        in_features: maps of one width, finest first, each twice as coarse as the one before.
        num_classes: without background.
        image_size: (height, width) of the network's input, a multiple of every stride.
        params: everything else.

    Raises:
        UserError: the maps or the image size do not fit.
    """

    anchors: Tensor

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        num_classes: int,
        image_size: tuple[int, int],
        params: RetinaHeadParams,
    ) -> None:
        super().__init__()
        require_pyramid("retina_head", in_features)
        require_one_width("retina_head", in_features)
        require_strides_divide("retina_head", in_features, image_size)
        self.num_classes, self.image_size, self.params = num_classes, image_size, params
        self.frame, self.nms_iou, self.detections = BoxFrame(), params.nms_iou, params.detections
        self.strides = [f.stride for f in in_features]
        self.sizes = [(image_size[0] // s, image_size[1] // s) for s in self.strides]
        levels = [
            grid_anchors(size, stride, cell_anchors(stride, params))
            for size, stride in zip(self.sizes, self.strides, strict=True)
        ]
        # derived from the parameters, so not part of a checkpoint
        self.register_buffer("anchors", torch.cat(levels), persistent=False)
        self.level_sizes = [len(level) for level in levels]
        per_cell = params.scales_per_octave * len(params.ratios)

        def branch(last: str, values: int) -> Branch:
            channels, count = in_features[0].channels, len(in_features)
            return Branch(last, channels, per_cell * values, count, params)

        self.classification_head = branch("cls_logits", num_classes)
        self.regression_head = branch("bbox_reg", 4)
        bias = self.classification_head.outputs.bias
        assert bias is not None
        nn.init.constant_(bias, -math.log((1 - PRIOR) / PRIOR))

    @property
    def selection(self) -> Mapping[str, Any]:
        p = self.params
        return {
            "score_threshold": p.min_score,
            "nms": f"NMS, IoU {p.nms_iou:g}, of the best {p.candidates} of a level",
            "detections_per_image": p.detections,
        }

    @property
    def positive_iou(self) -> float:
        return self.params.positive_iou

    def anchor_levels(self, size: tuple[int, int]) -> list[AnchorLevel]:
        """The anchors of each map, including those that reach out of the image.

        Raises:
            ValueError: they are for another size.
        """
        check_size(self.image_size, size)
        levels = zip(self.strides, self._split_anchors(), strict=True)
        return [AnchorLevel(stride, boxes) for stride, boxes in levels]

    def forward(self, features: list[Tensor]) -> RetinaOutputs:
        check_maps(self.image_size, self.sizes, features)
        return RetinaOutputs(self.classification_head(features), self.regression_head(features))

    @torch.no_grad()
    def decode(self, outputs: RetinaOutputs) -> Candidates:
        """The pairs of an anchor and a class with the best scores of each level."""
        levels = zip(outputs.logits, outputs.deltas, self._split_anchors(), strict=True)
        found = zip(*(self._decode_level(*level) for level in levels), strict=True)
        boxes, scores, labels = (torch.cat(rows, 1) for rows in found)
        return rank_candidates(boxes, scores, labels, self.params.min_score)

    def _decode_level(
        self, logits: Tensor, deltas: Tensor, anchors: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes, scores and labels of the best pairs; padding has a score below every threshold."""
        scores = torch.unflatten(logits.float().sigmoid(), 1, (-1, self.num_classes))
        of_class = scores.permute(0, 2, 3, 4, 1).flatten(2)  # (B, C, anchors)
        boxes = decode_boxes(join_cells([deltas], 4), anchors, MAX_LOG_RATIO)
        shared = clip_boxes(boxes, self.image_size)[:, None].expand(-1, self.num_classes, -1, -1)
        limit = min(self.params.candidates, self.num_classes * len(anchors))
        found, best, labels, counts = select_boxes(shared, of_class, limit, self.params.min_score)
        padding = torch.arange(limit, device=counts.device) >= counts[:, None]
        return found, best.masked_fill(padding, -1.0), labels

    def losses(
        self, outputs: RetinaOutputs, targets: Targets, given: TrainingMaps
    ) -> dict[str, Tensor]:
        """`loss_cls` and `loss_bbox`: of each image per positive anchor, then the mean of images.

        Raises:
            UserError: a label beyond the head's classes.
        """
        check_labels(targets, self.num_classes)
        targets, p = targets.at_least_one(), self.params
        matched = self.match(targets)
        positive = matched >= 0
        logits = join_cells(outputs.logits, self.num_classes)
        labels = targets.labels.gather(1, matched.clamp(min=0))
        focal = focal_losses(logits, labels, positive, p.alpha, p.gamma) * (matched != IGNORED)
        truths = matched_rows(targets.boxes, matched)
        boxes = self._box_losses(join_cells(outputs.deltas, 4), truths, positive)
        images = mean_over_processes(torch.full((), float(len(matched)), device=boxes.device))
        total = positive.sum(1).clamp(min=1) * images
        return {
            "loss_cls": (focal.sum(1) / total).sum(),
            "loss_bbox": p.box_weight * (boxes.sum(1) / total).sum(),
        }

    @torch.no_grad()
    def match(self, targets: Targets) -> Tensor:
        """(B, N) int64: the ground truth that each anchor learns, `NEGATIVE` or `IGNORED`.

        Args:
            targets: in network pixels, with at least one row.
        """
        p = self.params
        everywhere = torch.ones(1, len(self.anchors), dtype=torch.bool, device=self.anchors.device)
        return match_boxes(
            pairwise_ious(targets.boxes, self.anchors[None]),
            targets.valid,
            everywhere,
            positive_iou=p.positive_iou,
            negative_iou=p.negative_iou,
            min_positive_iou=max(p.min_positive_iou, TOUCH),
            keep_nearest=True,
        )

    def _box_losses(self, deltas: Tensor, truths: Tensor, positive: Tensor) -> Tensor:
        """(B, N), 0 where not positive."""
        others = ~positive[..., None]
        if self.params.box_loss == "giou":
            boxes = decode_boxes(deltas.masked_fill(others, 0.0), self.anchors, MAX_LOG_RATIO)
            return giou_losses(boxes, truths) * positive
        wanted = encode_boxes(truths, self.anchors)
        return (deltas - wanted).masked_fill(others, 0.0).abs().sum(2)

    def _split_anchors(self) -> tuple[Tensor, ...]:
        return torch.split(self.anchors, self.level_sizes)


def cell_anchors(stride: int, params: RetinaHeadParams) -> Tensor:
    """Anchors of the cell at the origin, around its upper left corner: (A, 4).

    Sizes of a level fill the octave to the next one's.
    """
    octave = params.scales_per_octave
    sides = [params.anchor_scale * stride * 2 ** (step / octave) for step in range(octave)]
    if not params.whole_pixels:
        return centered_anchors(sides, params.ratios)
    return centered_anchors([int(side) for side in sides], params.ratios).round()


def join_cells(maps: Sequence[Tensor], values: int) -> Tensor:
    """(B, A * values, H, W) of each level -> (B, anchors of all, values) float32, cell by cell."""
    cells = (torch.unflatten(level, 1, (-1, values)) for level in maps)
    rows = [level.permute(0, 3, 4, 1, 2).flatten(1, 3) for level in cells]
    return torch.cat(rows, 1).float()


def retina_head(
    in_features: Sequence[FeatureSpec],
    *,
    num_classes: int,
    image_size: tuple[int, int],
    **params: Any,
) -> RetinaHead:
    """Factory of the declaration."""
    return RetinaHead(in_features, num_classes, image_size, RetinaHeadParams(**params))
