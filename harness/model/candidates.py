"""What a dense head finds before non-maximum suppression, and the suppression."""

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.data.batch import TensorStruct
from harness.model.types import Detections
from harness.ops import nms_padded, select_boxes


@dataclass(frozen=True)
class Candidates(TensorStruct):
    """Boxes of one class each, best first. Rows from `counts[b]` on are padding.

    Attributes:
        boxes: (B, N, 4) float32 xyxy with exclusive corners in network pixels.
        scores: (B, N) float32.
        labels: (B, N) int64.
        counts: (B,) int64.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    counts: Tensor


def rank_candidates(
    boxes: Tensor, scores: Tensor, labels: Tensor, min_score: float, limit: int | None = None
) -> Candidates:
    """Those of (B, N, ...) whose score reaches `min_score`, best first, at most `limit`.

    Of equal scores the first comes first; NaN is never among them.
    """
    limit = scores.shape[1] if limit is None else min(limit, scores.shape[1])
    ranked = torch.where(scores >= min_score, scores, -torch.inf)
    # in groups of one each, so that the group of what is chosen is its place
    chosen, best, order, counts = select_boxes(
        boxes[:, :, None], ranked[:, :, None], limit, -torch.inf
    )
    return Candidates(chosen, best, labels.gather(1, order), counts)


def suppress(found: Candidates, iou: float, limit: int) -> Detections:
    """Greedy NMS among the candidates of a class, then the best `limit` of all classes.

    Boxes stay in network pixels. Classes are kept apart by moving each to a place of its own, as
    torchvision does.
    """
    valid = torch.arange(found.scores.shape[1], device=found.counts.device) < found.counts[:, None]
    inside = torch.where(valid[..., None], found.boxes, 0.0)
    span = inside.amax((1, 2), keepdim=True) - inside.amin((1, 2), keepdim=True) + 1
    moved = inside + found.labels[..., None].to(inside) * span
    limit = min(limit, found.scores.shape[1])
    kept, counts = nms_padded(moved, found.counts, iou, limit)
    there = torch.arange(limit, device=counts.device) < counts[:, None]
    boxes = found.boxes.gather(1, kept[..., None].expand(-1, -1, 4))
    return Detections(
        torch.where(there[..., None], boxes, 0.0),
        torch.where(there, found.scores.gather(1, kept), 0.0),
        torch.where(there, found.labels.gather(1, kept), 0),
        counts,
    )
