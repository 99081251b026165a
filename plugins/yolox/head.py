"""YOLOX's decoupled, anchor-free head (https://arxiv.org/abs/2107.08430, section 2.1)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.data.batch import Targets
from harness.model.candidates import Candidates, rank_candidates
from harness.model.features import FeatureSpec, require_strides_divide
from harness.model.parts import TrainingMaps
from harness.model.processes import mean_over_processes
from harness.model.types import BoxFrame
from harness_plugins.yolox.blocks import ConvBnSilu, conv3
from harness_plugins.yolox.params import YoloxHeadParams
from harness_plugins.yolox.simota import (
    Assignment,
    Grid,
    Predicted,
    Truths,
    assign_simota,
    rows_of,
)

PRIOR = 0.01  # probability of an object or a class at the start
BOX_WEIGHT = 5.0


@dataclass(frozen=True)
class YoloxOutputs:
    """Per level: boxes (B, 4, H, W), objectness (B, 1, H, W) and class logits (B, C, H, W).

    A box is (x, y, log w, log h) in strides, from the cell's corner.
    """

    boxes: tuple[Tensor, ...]
    objectness: tuple[Tensor, ...]
    classes: tuple[Tensor, ...]


class YoloxHead(nn.Module):
    """A classifying and a localising branch on every map, nothing shared between them.

    Args:
        in_features: maps, finest first.
        num_classes: without background.
        image_size: (height, width) of the network's input, a multiple of every stride.
        params: everything else.

    Raises:
        UserError: the image size does not fit the strides.
    """

    checkpoint_name = "head"
    cells: Tensor
    strides: Tensor
    l1_weight: Tensor

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        num_classes: int,
        image_size: tuple[int, int],
        params: YoloxHeadParams,
    ) -> None:
        super().__init__()
        require_strides_divide("yolox_head", in_features, image_size)
        self.num_classes, self.params = num_classes, params
        self.frame, self.nms_iou, self.l1 = BoxFrame(), params.nms_iou, bool(params.l1)
        hidden = params.hidden

        def branch() -> nn.Sequential:
            return nn.Sequential(*(conv3(hidden, hidden, 1, params.depthwise) for _ in range(2)))

        self.stems = nn.ModuleList(ConvBnSilu(f.channels, hidden, 1) for f in in_features)
        self.cls_convs = nn.ModuleList(branch() for _ in in_features)
        self.reg_convs = nn.ModuleList(branch() for _ in in_features)
        self.cls_preds = nn.ModuleList(nn.Conv2d(hidden, num_classes, 1) for _ in in_features)
        self.reg_preds = nn.ModuleList(nn.Conv2d(hidden, 4, 1) for _ in in_features)
        self.obj_preds = nn.ModuleList(nn.Conv2d(hidden, 1, 1) for _ in in_features)
        for conv in (*self.cls_preds, *self.obj_preds):
            nn.init.constant_(conv.bias, -math.log((1 - PRIOR) / PRIOR))
        height, width = image_size
        self.grids = [Grid(height // s, width // s, s) for s in (f.stride for f in in_features)]
        # derived from the parameters, so not part of a checkpoint
        cells = torch.cat([grid.cells() for grid in self.grids])
        self.register_buffer("cells", cells, persistent=False)
        strides = torch.cat([grid.strides() for grid in self.grids])
        self.register_buffer("strides", strides, persistent=False)
        # a buffer, which a captured step reads
        weight = torch.tensor(0.0 if params.l1 == "last" else 1.0)
        self.register_buffer("l1_weight", weight, persistent=False)
        self.detections = params.detections or len(cells)

    @property
    def selection(self) -> dict[str, Any]:
        return {
            "score_threshold": self.params.min_score,
            "nms": f"NMS, IoU {self.nms_iou:g}",
            "detections_per_image": self.detections,
        }

    def forward(self, features: list[Tensor]) -> YoloxOutputs:
        stems = [stem(x) for stem, x in zip(self.stems, features, strict=True)]
        of_class = [convs(x) for convs, x in zip(self.cls_convs, stems, strict=True)]
        of_box = [convs(x) for convs, x in zip(self.reg_convs, stems, strict=True)]
        return YoloxOutputs(
            tuple(pred(x) for pred, x in zip(self.reg_preds, of_box, strict=True)),
            tuple(pred(x) for pred, x in zip(self.obj_preds, of_box, strict=True)),
            tuple(pred(x) for pred, x in zip(self.cls_preds, of_class, strict=True)),
        )

    @torch.no_grad()
    def decode(self, outputs: YoloxOutputs) -> Candidates:
        """The best class of each cell, where its score reaches the threshold."""
        best = [level.max(1) for level in outputs.classes]
        logits = torch.cat([values.flatten(1) for values, _ in best], 1).float()
        labels = torch.cat([places.flatten(1) for _, places in best], 1)
        scores = join_levels(outputs.objectness)[..., 0].sigmoid() * logits.sigmoid()
        centers, sides = self.locate(join_levels(outputs.boxes))
        boxes = torch.cat([centers - sides / 2, centers + sides / 2], -1)
        return rank_candidates(boxes, scores, labels, self.params.min_score)

    def locate(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Raw boxes (B, N, 4) -> centres and sides (B, N, 2) in network pixels."""
        shifts, logs = torch.split(raw, 2, -1)
        strides = self.strides[:, None]
        return (shifts + self.cells) * strides, logs.exp() * strides

    def losses(
        self, outputs: YoloxOutputs, targets: Targets, given: TrainingMaps
    ) -> dict[str, Tensor]:
        """`loss_iou`, `loss_obj`, `loss_cls` and, if it is on, `loss_l1`, per positive point.

        Boxes of a class that the head does not have are left out, as padding is.
        """
        raw, classes = join_levels(outputs.boxes), join_levels(outputs.classes)
        objectness = join_levels(outputs.objectness)[..., 0]
        truths = self.read_truths(targets)
        found = self.assign(raw, objectness, classes, truths)
        total = mean_over_processes(found.positive.sum()).clamp(min=1)
        wanted = _scatter(found, objectness.shape[1])
        sums = {
            "loss_iou": BOX_WEIGHT * self._box_sum(raw, found, truths),
            "loss_obj": F.binary_cross_entropy_with_logits(objectness, wanted, reduction="sum"),
            "loss_cls": self._class_sum(classes, found, truths),
        }
        if self.l1:
            sums["loss_l1"] = self.l1_weight * self._l1_sum(raw, found, truths)
        return {name: value / total for name, value in sums.items()}

    def begin_last_phase(self) -> None:
        self.l1_weight.fill_(1.0)

    def assign(
        self, raw: Tensor, objectness: Tensor, classes: Tensor, truths: Truths
    ) -> Assignment:
        """Which points learn which box."""
        predicted = Predicted(objectness, classes, *self.locate(raw))
        return assign_simota(predicted, truths, self.grids)

    def read_truths(self, targets: Targets) -> Truths:
        boxes, labels, valid = targets.boxes, targets.labels, targets.valid
        if boxes.shape[1] == 0:  # a batch without a single box: one row of padding
            boxes, labels, valid = (F.pad(x, p) for x, p in (
                (boxes, (0, 0, 0, 1)), (labels, (0, 1)), (valid, (0, 1)),
            ))  # fmt: skip
        low, high = torch.split(boxes, 2, -1)
        known = (labels >= 0) & (labels < self.num_classes)
        return Truths((low + high) / 2, high - low, labels, valid & known)

    def _box_sum(self, raw: Tensor, found: Assignment, truths: Truths) -> Tensor:
        """Sum of 1 - IoU^2 over positive points."""
        own_centers, own_sides = _matched(truths, found)
        centers, sides = self._located(raw, found)
        # of others any box will do that has area
        keep = found.positive[..., None]
        centers = torch.where(keep, centers, 0.0)
        sides = torch.where(keep, sides, 1.0)
        own_sides = torch.where(keep, own_sides, 1.0)
        low = torch.maximum(centers - sides / 2, own_centers - own_sides / 2)
        high = torch.minimum(centers + sides / 2, own_centers + own_sides / 2)
        inter = (high - low).clamp(min=0).prod(-1)
        ious = inter / (sides.prod(-1) + own_sides.prod(-1) - inter + 1e-16)
        return torch.where(found.positive, 1 - ious**2, 0.0).sum()

    def _located(self, raw: Tensor, found: Assignment) -> tuple[Tensor, Tensor]:
        """`locate` of the candidates alone."""
        shifts, logs = torch.split(rows_of(raw, found.points), 2, -1)
        strides = self.strides[found.points][..., None]
        logs = torch.where(found.positive[..., None], logs, 0.0)
        return (shifts + self.cells[found.points]) * strides, logs.exp() * strides

    def _class_sum(self, classes: Tensor, found: Assignment, truths: Truths) -> Tensor:
        """Binary cross-entropy of positive points to the IoU at the box's class, else to 0."""
        labels = truths.labels.gather(1, found.truths)[..., None]
        wanted = (labels == torch.arange(self.num_classes, device=labels.device)).float()
        chosen = rows_of(classes, found.points)
        losses = F.binary_cross_entropy_with_logits(
            chosen, wanted * found.ious[..., None], reduction="none"
        )
        return torch.where(found.positive[..., None], losses, 0.0).sum()

    def _l1_sum(self, raw: Tensor, found: Assignment, truths: Truths) -> Tensor:
        """Absolute differences of raw boxes."""
        centers, sides = _matched(truths, found)
        strides = self.strides[found.points][..., None]
        shifts = centers / strides - self.cells[found.points]
        wanted = torch.cat([shifts, (sides / strides + 1e-8).log()], -1)
        off = (rows_of(raw, found.points) - wanted).abs()
        return torch.where(found.positive[..., None], off, 0.0).sum()


def join_levels(maps: Sequence[Tensor]) -> Tensor:
    """(B, C, H, W) of each level -> (B, cells of all, C) float32."""
    return torch.cat([level.flatten(2) for level in maps], 2).transpose(1, 2).float()


def _scatter(found: Assignment, size: int) -> Tensor:
    """(B, N) 1 at positive points, else 0."""
    wanted = found.ious.new_zeros((len(found.points), size + 1))  # the last is for padding
    places = torch.where(found.valid, found.points, size)
    return wanted.scatter_(1, places, found.positive.to(wanted.dtype))[:, :size]


def _matched(truths: Truths, found: Assignment) -> tuple[Tensor, Tensor]:
    """Centres and sides (B, U, 2) of the boxes that points are matched to."""
    return rows_of(truths.centers, found.truths), rows_of(truths.sides, found.truths)


def yolox_head(
    in_features: Sequence[FeatureSpec],
    *,
    num_classes: int,
    image_size: tuple[int, int],
    **params: Any,
) -> YoloxHead:
    """Factory of the declaration."""
    return YoloxHead(in_features, num_classes, image_size, YoloxHeadParams(**params))
