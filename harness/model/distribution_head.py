"""Dense heads that predict the sides of a box as distributions: layers, boxes and their losses.

Generalized focal loss: https://arxiv.org/abs/2006.04388. A family adds what it assigns points and
scores classes by.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from harness.data.batch import Inputs, Targets
from harness.errors import UserError
from harness.model.candidates import Candidates
from harness.model.distances import (
    Integral,
    boxes_of,
    distances_to,
    distribution_focal_losses,
    grid_points,
)
from harness.model.dynamic_k import Assignment
from harness.model.features import FeatureSpec, hint_sizes, require_pyramid
from harness.model.processes import mean_over_processes
from harness.model.types import BoxFrame
from harness.ops import select_boxes
from harness.ops.boxes import clip_boxes, giou_losses

DIVISOR = 32  # of the sides of a batch, which `collate_images` pads to it
MARGIN = 0.1  # bins that a target stays below the last
PRIOR = 0.01  # score of every class before training


class DistributionParams(Protocol):
    """What every such head's params have.

    Attributes:
        reg_max: the largest distance from a point to a side, in strides.
        giou_weight, distribution_weight: of the two losses of boxes.
        min_score: a detection needs more.
        nms_iou: a box is dropped where it overlaps a better one of its class by more.
        candidates: pairs of a point and a class that enter NMS at most, the best of an image.
        detections: of an image, over all classes.
    """

    reg_max: int
    giou_weight: float
    distribution_weight: float
    min_score: float
    nms_iou: float
    candidates: int
    detections: int


@dataclass(frozen=True)
class PointOutputs:
    """Raw outputs at all points: logits of classes (B, N, C), and of distances (B, N, 4 * bins)."""

    logits: Tensor
    sides: Tensor


class DistributionHead(nn.Module):
    """Detects at every point of every map.

    Args:
        part: its name in messages.
        in_features: the neck's maps.
        num_classes: without background.
        image_size: (height, width) of the network's input.
        params: see `DistributionParams`.
        layers: channels of a map -> what is between it and its last, 1x1, convolution.
        offset: of the points, see `grid_points`.

    Attributes:
        points: (N, 3), see `grid_points`.

    Raises:
        UserError: the maps are not a pyramid, or do not divide the image.
    """

    points: Tensor

    def __init__(
        self,
        part: str,
        in_features: Sequence[FeatureSpec],
        num_classes: int,
        image_size: tuple[int, int],
        params: DistributionParams,
        *,
        layers: Callable[[int], nn.Module],
        offset: float,
    ) -> None:
        super().__init__()
        require_pyramid(part, in_features)
        require_multiple(part, image_size)
        self.num_classes, self.image_size, self.params = num_classes, image_size, params
        self.frame = ClippedFrame()
        self.nms_iou, self.detections = params.nms_iou, params.detections
        # names of submodules are those of NanoDet-Plus's checkpoints
        self.distribution_project = Integral(params.reg_max)
        outputs = num_classes + 4 * (params.reg_max + 1)
        self.cls_convs = nn.ModuleList(layers(f.channels) for f in in_features)
        self.gfl_cls = nn.ModuleList(nn.Conv2d(f.channels, outputs, 1) for f in in_features)
        # derived from the sizes, so not part of a checkpoint
        points = grid_points(in_features, image_size, offset)
        self.register_buffer("points", points, persistent=False)
        init_head(self)
        for layer in self.gfl_cls:
            assert isinstance(layer, nn.Conv2d)
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

    def qualities(self, targets: Targets, assignment: Assignment) -> Tensor:
        """(B, N, C): the quality of a point at the class of its ground truth, else 0."""
        labels = targets.labels.gather(1, assignment.matched.clamp(min=0))[..., None]
        quality = assignment.quality[..., None]
        return quality.new_zeros((*labels.shape[:2], self.num_classes)).scatter_(2, labels, quality)

    def count_positive(self, assignment: Assignment) -> Tensor:
        """Points that are assigned, at least 1; the mean over the processes of a training."""
        return mean_over_processes(assignment.positive.sum()).clamp(min=1)

    def box_losses(
        self, outputs: PointOutputs, targets: Targets, assignment: Assignment
    ) -> dict[str, Tensor]:
        """`loss_bbox` (1 - GIoU) and `loss_dfl`, times their weights.

        Means over assigned points, each of which counts as much as its best class scores.
        """
        p, positive = self.params, assignment.positive
        row = assignment.matched.clamp(min=0)[..., None]
        truths = targets.boxes.gather(1, row.expand(-1, -1, 4))
        weights = outputs.logits.float().detach().amax(2).sigmoid() * positive
        weight = mean_over_processes(weights.sum()).clamp(min=1)
        overlap = giou_losses(self.boxes(outputs), truths) * weights
        distances = distances_to(self.points, truths).clamp(0, p.reg_max - MARGIN)
        shape = distribution_focal_losses(outputs.sides.float(), distances) * weights[..., None]
        return {
            "loss_bbox": p.giou_weight * overlap.sum() / weight,
            "loss_dfl": p.distribution_weight * shape.sum() / (4 * weight),
        }


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


def init_head(head: nn.Module) -> None:
    for module in head.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.01)


def init_scores(layer: nn.Conv2d) -> None:
    """Every bias, so that a class has the score `PRIOR`; a distribution does not notice."""
    assert layer.bias is not None
    nn.init.constant_(layer.bias, -math.log((1 - PRIOR) / PRIOR))
