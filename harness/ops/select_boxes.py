"""The best boxes of all groups (levels, classes) of an image."""

from typing import Any

import torch
from torch import Tensor

from harness.ops.registration import register

SCHEMA = (
    "select_boxes(Tensor boxes, Tensor scores, Tensor? kept, Tensor? counts, SymInt limit, "
    "float score_threshold) -> (Tensor, Tensor, Tensor, Tensor)"
)


def select_boxes(
    boxes: Tensor,
    scores: Tensor,
    limit: int,
    score_threshold: float,
    kept: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Selects the boxes of an image with the highest scores, from all groups.

    Of equal scores the first group's come first, within a group the first. NaN is never selected.

    Args:
        boxes: (B, G, N, 4), any memory format; groups that share boxes may be an expanded view.
        scores: (B, G, N) in the dtype of the boxes: float32, float16 or bfloat16.
        limit: how many boxes to select per image.
        score_threshold: a selected box has a score above it.
        kept: the result of NMS (`nms_padded`): positions (B, G, M) and counts (B, G), int64. Only
            these are candidates, in this order. None: all boxes.

    Returns:
        Boxes (B, limit, 4) and scores (B, limit), best first; the group of each, (B, limit) int64;
        and their number, (B,) int64. Zero on padding. No gradient.

    Raises:
        ValueError: Shapes or dtypes that do not fit.
    """
    if boxes.ndim != 4 or boxes.shape[3] != 4 or scores.shape != boxes.shape[:3]:
        shapes = f"{tuple(boxes.shape)} and {tuple(scores.shape)}"
        raise ValueError(f"boxes must be (B, G, N, 4) and scores (B, G, N), not {shapes}")
    if boxes.dtype != scores.dtype or scores.dtype == torch.float64:
        dtypes = f"{boxes.dtype} and {scores.dtype}"
        raise ValueError(f"boxes and scores must both be float32 or half types, not {dtypes}")
    if kept is not None and not (
        kept[0].ndim == 3 and kept[0].shape[:2] == kept[1].shape == scores.shape[:2]
    ):
        shapes = f"{tuple(kept[0].shape)} and {tuple(kept[1].shape)}"
        raise ValueError(f"kept must be positions (B, G, M) and counts (B, G), not {shapes}")
    if limit < 0:
        raise ValueError(f"limit must be 0 or more, not {limit}")
    positions, counts = kept or (None, None)
    found: tuple[Tensor, Tensor, Tensor, Tensor] = torch.ops.harness.select_boxes(
        boxes.detach(), scores.detach(), positions, counts, limit, score_threshold
    )
    return found


def select_boxes_reference(
    boxes: Tensor,
    scores: Tensor,
    kept: Tensor | None,
    counts: Tensor | None,
    limit: int,
    score_threshold: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`harness::select_boxes`, by a stable sort of all candidates."""
    images, groups, size = scores.shape
    rows = torch.arange(groups * size, device=scores.device).view(1, groups, size)
    rows = rows.expand(images, -1, -1)
    if kept is not None and counts is not None:
        own = torch.arange(kept.shape[2], device=scores.device) < counts[..., None]
        positions = torch.where(own, kept, 0)
        rows = rows[..., :1] + positions if size else positions
        values = torch.where(own, scores.gather(2, positions), -torch.inf)
    else:
        values = scores
    # not NaN, nor -inf whatever the threshold
    candidate = (values.float() > score_threshold).flatten(1)
    values = torch.where(candidate, values.flatten(1), -torch.inf)
    ranked, order = values.sort(dim=1, descending=True, stable=True)
    ranked, order = ranked[:, :limit], order[:, :limit]
    found = candidate.sum(1).clamp(max=limit)
    there = torch.arange(order.shape[1], device=scores.device) < found[:, None]
    rows = torch.where(there, rows.flatten(1).gather(1, order), 0)
    chosen = boxes.flatten(1, 2).gather(1, rows[..., None].expand(-1, -1, 4))
    padding = (0, limit - order.shape[1])
    pad = torch.nn.functional.pad
    return (
        pad(torch.where(there[..., None], chosen, 0.0), (0, 0, *padding)).to(boxes.dtype),
        pad(torch.where(there, ranked, 0.0), padding).to(scores.dtype),
        pad(rows // max(size, 1), padding),
        found,
    )


def _fake(
    boxes: Tensor, scores: Tensor, kept: Any, counts: Any, limit: int, *_: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    images = scores.shape[0]
    return (
        scores.new_empty((images, limit, 4)),
        scores.new_empty((images, limit)),
        scores.new_empty((images, limit), dtype=torch.int64),
        scores.new_empty((images,), dtype=torch.int64),
    )


register(SCHEMA, select_boxes_reference, _fake)
