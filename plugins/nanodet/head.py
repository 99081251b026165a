"""NanoDet-Plus's head: class scores and distributions of distances from the same convolutions.

Generalized focal loss: https://arxiv.org/abs/2006.04388.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.data.batch import Inputs, Targets
from harness.errors import UserError
from harness.model.candidates import Candidates
from harness.model.features import FeatureSpec, hint_sizes, require_pyramid
from harness.model.parts import TrainingMaps
from harness.model.processes import mean_over_processes
from harness.model.types import BoxFrame
from harness.ops import select_boxes
from harness.ops.boxes import clip_boxes
from harness_plugins.nanodet.assignment import Assignment, assign
from harness_plugins.nanodet.auxiliary import AuxiliaryHead
from harness_plugins.nanodet.blocks import SeparableConvNorm, init_head, init_scores
from harness_plugins.nanodet.losses import (
    distribution_focal_losses,
    giou_losses,
    quality_focal_sum,
)
from harness_plugins.nanodet.params import NanoDetHeadParams
from harness_plugins.nanodet.points import Integral, boxes_of, distances_to, grid_points

DIVISOR = 32  # of the sides of a batch, which `collate_images` pads to it
MARGIN = 0.1  # bins that a target stays below the last


@dataclass(frozen=True)
class PointOutputs:
    """Raw outputs at all points: logits of classes (B, N, C), and of distances (B, N, 4 * bins)."""

    logits: Tensor
    sides: Tensor


class NanoDetHead(nn.Module):
    """Detects at every point of every map.

    Args:
        in_features: the neck's maps.
        num_classes: without background.
        image_size: (height, width) of the network's input.
        params: everything else.

    Attributes:
        points: (N, 3), see `grid_points`.
        flow: the share of the auxiliary branch's gradient that goes on into backbone and neck, 1
            or 0; a buffer, so that a captured step sees it change.

    Raises:
        UserError: the maps are not a pyramid, or do not divide the image.
    """

    points: Tensor
    flow: Tensor

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        num_classes: int,
        image_size: tuple[int, int],
        params: NanoDetHeadParams,
    ) -> None:
        super().__init__()
        require_pyramid("nanodet_head", in_features)
        require_multiple("nanodet_head", image_size)
        self.num_classes, self.image_size, self.params = num_classes, image_size, params
        self.frame = ClippedFrame()
        self.nms_iou, self.detections = params.nms_iou, params.detections
        self.distribution_project = Integral(params.reg_max)
        outputs = num_classes + 4 * (params.reg_max + 1)
        self.cls_convs = nn.ModuleList(
            nn.Sequential(
                *(
                    SeparableConvNorm(f.channels, f.channels, params.kernel)
                    for _ in range(params.layers)
                )
            )
            for f in in_features
        )
        last = [nn.Conv2d(f.channels, outputs, 1) for f in in_features]
        self.gfl_cls = nn.ModuleList(last)
        # derived from the sizes, so not part of a checkpoint
        self.register_buffer("points", grid_points(in_features, image_size), persistent=False)
        self.register_buffer("flow", torch.ones(()), persistent=False)
        init_head(self)
        for layer in last:
            init_scores(layer)

    @property
    def selection(self) -> Mapping[str, Any]:
        p = self.params
        return {
            "score_threshold": p.min_score,
            "nms": f"NMS, IoU {p.nms_iou:g}, of the best {p.candidates}",
            "detections_per_image": p.detections,
        }

    def forward(self, features: list[Tensor]) -> PointOutputs:
        rows = []
        for layers, last, x in zip(self.cls_convs, self.gfl_cls, features, strict=True):
            rows.append(last(layers(x)).permute(0, 2, 3, 1).flatten(1, 2))
        return self.split(torch.cat(rows, 1))

    def split(self, rows: Tensor) -> PointOutputs:
        """(B, N, C + 4 * bins) -> outputs."""
        return PointOutputs(rows[..., : self.num_classes], rows[..., self.num_classes :])

    def boxes(self, outputs: PointOutputs) -> Tensor:
        """(B, N, 4) in network pixels, not clipped."""
        return boxes_of(self.points, self.distribution_project(outputs.sides.float()))

    def decode(self, outputs: PointOutputs) -> Candidates:
        """The pairs of a point and a class with the best scores above the threshold."""
        p = self.params
        scores = outputs.logits.float().sigmoid().transpose(1, 2).contiguous()
        boxes = clip_boxes(self.boxes(outputs), self.image_size)
        shared = boxes[:, None].expand(-1, self.num_classes, -1, -1)
        limit = min(p.candidates, self.num_classes * boxes.shape[1])
        return Candidates(*select_boxes(shared, scores, limit, p.min_score))

    def assign(self, outputs: PointOutputs, targets: Targets) -> Assignment:
        """By these outputs; `targets` in network pixels."""
        p = self.params
        return assign(
            outputs.logits.float(), self.boxes(outputs), self.points, targets,
            largest=p.largest, iou_weight=p.iou_weight,
        )  # fmt: skip

    def losses_of(
        self, outputs: PointOutputs, targets: Targets, assignment: Assignment
    ) -> dict[str, Tensor]:
        """`loss_qfl`, `loss_bbox` and `loss_dfl`, weights included, for this assignment."""
        p, positive = self.params, assignment.positive
        row = assignment.matched.clamp(min=0)
        logits, sides = outputs.logits.float(), outputs.sides.float()
        labels = targets.labels.gather(1, row)[..., None]
        quality = torch.zeros_like(logits).scatter_(2, labels, assignment.quality[..., None])
        total = mean_over_processes(positive.sum()).clamp(min=1)
        truths = targets.boxes.gather(1, row[..., None].expand(-1, -1, 4))
        weights = logits.detach().amax(2).sigmoid() * positive
        weight = mean_over_processes(weights.sum()).clamp(min=1)
        overlap = giou_losses(self.boxes(outputs), truths) * weights
        limit = p.reg_max - MARGIN
        distances = distances_to(self.points, truths).clamp(0, limit)
        shape = distribution_focal_losses(sides, distances) * weights[..., None]
        return {
            "loss_qfl": p.quality_weight * quality_focal_sum(logits, quality) / total,
            "loss_bbox": p.giou_weight * overlap.sum() / weight,
            "loss_dfl": p.distribution_weight * shape.sum() / (4 * weight),
        }

    def losses(
        self, outputs: PointOutputs, targets: Targets, given: TrainingMaps
    ) -> dict[str, Tensor]:
        """`losses_of` these outputs, and of the auxiliary head's as `aux_loss_qfl` and so on.

        With an auxiliary head its outputs assign for both, else the head's own.

        Raises:
            UserError: a label beyond the head's classes.
        """
        check_labels(targets, self.num_classes)
        targets = targets.at_least_one()
        if not given.auxiliary:
            return self.losses_of(outputs, targets, self.assign(outputs, targets))
        guide = self.guide(given)
        assignment = self.assign(guide, targets)
        others = self.losses_of(guide, targets, assignment)
        return {
            **self.losses_of(outputs, targets, assignment),
            **{f"aux_{name}": loss for name, loss in others.items()},
        }

    def make_auxiliary(
        self, in_features: Sequence[FeatureSpec], neck: nn.Module
    ) -> dict[str, nn.Module]:
        """A copy of the neck, and a head on the maps of both necks.

        Raises:
            UserError: the neck's maps do not suit it.
        """
        if not self.params.auxiliary:
            return {}
        features: Any = neck.out_features
        head = AuxiliaryHead(features, self.num_classes, self.params.reg_max + 1)
        return {"aux_fpn": deepcopy(neck), "aux_head": head}

    def guide(self, given: TrainingMaps) -> PointOutputs:
        """What the auxiliary neck and head make of the maps."""
        neck, head = given.auxiliary["aux_fpn"], given.auxiliary["aux_head"]
        own = neck([self.pass_gradient(x) for x in given.backbone])
        both = zip(given.neck, own, strict=True)
        return self.split(head([torch.cat([self.pass_gradient(x), y], 1) for x, y in both]))

    def pass_gradient(self, x: Tensor) -> Tensor:
        """The same values; of the gradient `flow`."""
        return x.detach().lerp(x, self.flow.to(x.dtype))

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """After the first epochs the auxiliary branch learns alone."""
        self.flow.fill_(float(epoch < self.params.attached_epochs))


class ClippedFrame(BoxFrame):
    """Boxes end where their image does."""

    def to_image(self, boxes: Tensor, inputs: Inputs) -> Tensor:
        limit = inputs.image_sizes.flip(-1).repeat(1, 2)[:, None].to(boxes)
        return torch.minimum(super().to_image(boxes, inputs).clamp(min=0), limit)


def require_multiple(part: str, image_size: tuple[int, int]) -> None:
    """Raises UserError where a batch of such images would be padded, and its maps with it."""
    if any(side % DIVISOR for side in image_size):
        height, width = image_size
        raise UserError(
            f"{part} is given images of {height}x{width}",
            hint=hint_sizes(image_size, DIVISOR),
        )


def check_labels(targets: Targets, num_classes: int) -> None:
    """Raises UserError where a box has a label that the head has no class for.

    Only on a CPU, where looking costs nothing; a GPU's own check of indices ends the run.
    """
    if targets.labels.device.type != "cpu" or torch.compiler.is_compiling():
        return
    most = int(targets.labels.max()) if targets.labels.numel() else 0
    if most >= num_classes:
        raise UserError(
            f"a box has class {most}, but the head has {num_classes} classes, from 0",
            hint="train it on the data set that it was built for",
        )


def nanodet_head(
    in_features: Sequence[FeatureSpec],
    *,
    num_classes: int,
    image_size: tuple[int, int],
    **params: Any,
) -> NanoDetHead:
    """Factory of the declaration."""
    return NanoDetHead(in_features, num_classes, image_size, NanoDetHeadParams(**params))
