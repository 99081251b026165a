"""The best anchors of each level of a pyramid, as boxes, from a dense head's maps."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from harness.ops.boxes import clip_boxes, decode_boxes
from harness.ops.registration import register

MOST_LEVELS = 8  # passed to kernels by value; the same in csrc

SCHEMA = (
    "select_anchors(Tensor[] logits, Tensor[] deltas, Tensor anchors, int limit, "
    "float max_log_ratio, int height, int width, float inside) -> (Tensor, Tensor, Tensor)"
)


def select_anchors(
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
    anchors: Tensor,
    limit: int,
    image_size: tuple[int, int],
    max_log_ratio: float,
    inside: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Chooses the anchors with the highest logits, decodes their boxes and clips them.

    Of equal logits the first is chosen, and NaN never. Logits are ranked, not their sigmoids: the
    order is the same, but different logits stay different, on every device. Computes in
    float32. The last bits of scores and sides are those of a device's exp.

    Args:
        logits: (B, A, H, W) per level, one to 8 levels, any memory format.
        deltas: (B, 4 A, H, W) per level, in the dtype of the logits (`decode_boxes`).
        anchors: (N, 4) float32 xyxy with exclusive corners, of all levels, cell by cell in rows.
        limit: how many anchors to select per level.
        image_size: (height, width).
        max_log_ratio: bound of the absolute logarithm of a side's ratio.
        inside: pixels of a box outside that stay in the image.

    Returns:
        Boxes (B, levels, K, 4) and scores (B, levels, K), the logits' sigmoids, best first, float32
        and zero on padding; and their number, (B, levels) int64. K is the limit, or the size
        of the largest level if that is less. No gradient.

    Raises:
        ValueError: Shapes or dtypes that do not fit.
    """
    if not 1 <= len(logits) <= MOST_LEVELS or len(logits) != len(deltas):
        given = f"{len(logits)} and {len(deltas)}"
        raise ValueError(f"one to {MOST_LEVELS} levels need logits and deltas each, not {given}")
    for scores, boxes in zip(logits, deltas, strict=True):
        _check_level(scores, boxes, logits[0])
    count = sum(_size(level) for level in logits)
    if anchors.shape != (count, 4) or anchors.dtype != torch.float32:
        given = f"{tuple(anchors.shape)} {anchors.dtype}"
        raise ValueError(f"anchors must be {(count, 4)} float32, not {given}")
    if limit < 0:
        raise ValueError(f"limit must be 0 or more, not {limit}")
    found: tuple[Tensor, Tensor, Tensor] = torch.ops.harness.select_anchors(
        [x.detach() for x in logits],
        [x.detach() for x in deltas],
        anchors.detach(),
        limit,
        max_log_ratio,
        *image_size,
        inside,
    )
    return found


def _check_level(scores: Tensor, boxes: Tensor, first: Tensor) -> None:
    if scores.ndim != 4 or boxes.ndim != 4 or scores.shape[0] != first.shape[0]:
        shapes = f"{tuple(scores.shape)} and {tuple(boxes.shape)}"
        raise ValueError(f"logits must be (B, A, H, W) and deltas (B, 4 A, H, W), not {shapes}")
    images, anchors, *size = scores.shape
    if boxes.shape != (images, 4 * anchors, *size):
        expected = (images, 4 * anchors, *size)
        raise ValueError(f"deltas must be {expected}, not {tuple(boxes.shape)}")
    if not scores.dtype == boxes.dtype == first.dtype:
        dtypes = ", ".join(str(x.dtype) for x in (first, scores, boxes))
        raise ValueError(f"logits and deltas must be of one dtype, not {dtypes}")


def _size(logits: Tensor) -> int:
    return logits.shape[1] * logits.shape[2] * logits.shape[3]


def _rows(logits: Sequence[Tensor], limit: int) -> int:
    return min(limit, max(_size(level) for level in logits))


def select_anchors_reference(
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
    anchors: Tensor,
    limit: int,
    max_log_ratio: float,
    height: int,
    width: int,
    inside: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """`harness::select_anchors`, level by level."""
    rows = _rows(logits, limit)
    boxes, scores, counts = [], [], []
    sizes = [_size(level) for level in logits]
    split = anchors.split(sizes)  # type: ignore[no-untyped-call]
    for level, shifts, own in zip(logits, deltas, split, strict=True):
        flat = level.permute(0, 2, 3, 1).flatten(1).float()
        ranked = torch.where(flat.isnan(), -torch.inf, flat)
        # NaN after real -inf
        order = flat.isnan().long().sort(dim=1, stable=True).indices
        best, place = ranked.gather(1, order).sort(dim=1, descending=True, stable=True)
        order, best = order.gather(1, place)[:, :rows], best[:, :rows]
        found = (~flat.isnan()).sum(1).clamp(max=rows)
        there = torch.arange(order.shape[1], device=flat.device) < found[:, None]
        of_anchor = shifts.permute(0, 2, 3, 1).reshape(len(shifts), -1, 4).float()
        chosen = of_anchor.gather(1, order[..., None].expand(-1, -1, 4))
        decoded = decode_boxes(chosen, own[order], max_log_ratio)
        decoded = clip_boxes(decoded, (height, width), inside)
        padding = (0, rows - order.shape[1])
        pad = torch.nn.functional.pad
        boxes.append(pad(torch.where(there[..., None], decoded, 0.0), (0, 0, *padding)))
        scores.append(pad(torch.where(there, best.sigmoid(), 0.0), padding))
        counts.append(found)
    return torch.stack(boxes, 1), torch.stack(scores, 1), torch.stack(counts, 1)


def _fake(
    logits: Sequence[Tensor], deltas: Any, anchors: Tensor, limit: int, *_: Any
) -> tuple[Tensor, Tensor, Tensor]:
    size = (logits[0].shape[0], len(logits), _rows(logits, limit))
    counts = anchors.new_empty(size[:2], dtype=torch.int64)
    return anchors.new_empty((*size, 4)), anchors.new_empty(size), counts


register(SCHEMA, select_anchors_reference, _fake)
