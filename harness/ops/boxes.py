"""Arithmetic of boxes, xyxy with exclusive corners: overlaps, coding as deltas, pyramid levels."""

import torch
from torch import Tensor

LEAST_AREA = 1e-6  # square pixels, of a union and of a hull in a GIoU


def box_areas(boxes: Tensor) -> Tensor:
    """(..., 4) -> (...)."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def pairwise_ious(boxes: Tensor, others: Tensor, of_nothing: float = 0.0) -> Tensor:
    """IoU of each of (..., N, 4) with each of (..., M, 4): (..., N, M). No gradient.

    Works axis by axis and in place: there may be a million pairs.

    Args:
        of_nothing: 0 or NaN, for two boxes without area.
    """
    boxes, others = boxes.detach(), others.detach()
    inter = _overlaps(boxes, others, 0).mul_(_overlaps(boxes, others, 1))
    union = (box_areas(boxes)[..., :, None] + box_areas(others)[..., None, :]).sub_(inter)
    if of_nothing == 0:
        union.clamp_(min=torch.finfo(union.dtype).tiny)
    return inter.div_(union)


def giou_losses(boxes: Tensor, others: Tensor) -> Tensor:
    """1 - GIoU (https://arxiv.org/abs/1902.09630) of boxes (..., 4) with their counterparts: (...).

    Leading dimensions broadcast.
    """
    low = torch.maximum(boxes[..., :2], others[..., :2])
    high = torch.minimum(boxes[..., 2:], others[..., 2:])
    width, height = (high - low).clamp(min=0).unbind(-1)
    shared = width * height
    union = (box_areas(boxes) + box_areas(others) - shared).clamp(min=LEAST_AREA)
    first = torch.minimum(boxes[..., :2], others[..., :2])
    last = torch.maximum(boxes[..., 2:], others[..., 2:])
    width, height = (last - first).clamp(min=0).unbind(-1)
    hull = (width * height).clamp(min=LEAST_AREA)
    return 1 - shared / union + (hull - union) / hull


def _overlaps(boxes: Tensor, others: Tensor, axis: int) -> Tensor:
    low = torch.maximum(boxes[..., :, None, axis], others[..., None, :, axis])
    high = torch.minimum(boxes[..., :, None, axis + 2], others[..., None, :, axis + 2])
    return high.sub_(low).clamp_(min=0)


def centers_and_sides(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """(..., 4) xyxy -> (..., 2) each."""
    low, high = boxes.split(2, -1)  # type: ignore[no-untyped-call]
    return (low + high) * 0.5, high - low


def encode_boxes(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Deltas that lead from anchors to boxes, (..., 4) each; `decode_boxes` is the inverse."""
    box_centers, box_sides = centers_and_sides(boxes)
    centers, sides = centers_and_sides(anchors)
    return torch.cat([(box_centers - centers) / sides, (box_sides / sides).log()], -1)


def decode_boxes(deltas: Tensor, anchors: Tensor, max_log_ratio: float) -> Tensor:
    """Deltas from anchors (https://arxiv.org/abs/1506.01497, section 3.1.2), (..., 4) -> xyxy.

    They are shifts of centres in sides of the anchor, and logarithms of sides.
    Logarithms are clamped to plus or minus `max_log_ratio`.
    """
    shifts, logs = deltas.split(2, -1)  # type: ignore[no-untyped-call]
    centers, sides = centers_and_sides(anchors)
    centers = centers + sides * shifts
    halves = sides * logs.clamp(-max_log_ratio, max_log_ratio).exp() * 0.5
    return torch.cat([centers - halves, centers + halves], -1)


def clip_boxes(boxes: Tensor, image_size: tuple[int, int], inside: float = 0.0) -> Tensor:
    """(..., 4) xyxy with exclusive corners into an image of (height, width).

    Args:
        inside: pixels of a box outside that stay in the image.
    """
    height, width = image_size
    x1, y1, x2, y2 = boxes.unbind(-1)
    low = [x1.clamp(0, width - inside), y1.clamp(0, height - inside)]
    return torch.stack([*low, x2.clamp(inside, width), y2.clamp(inside, height)], -1)


def assign_levels(boxes: Tensor, finest: float, count: int) -> Tensor:
    """(..., 4) xyxy -> (...) int64 index of the map, 0 to `count` - 1; -1 for boxes without area.

    The rule of FPN (https://arxiv.org/abs/1612.03144, equation 1): boxes of side `finest` and
    less go to map 0, each doubling of the side goes one map up. Padding has no area.

    `floor(log2(sqrt(area) / finest + 1e-6))`, clamped, is computed without its logarithm: a box
    goes up to each map whose smallest area it has. The last bit of a logarithm, and so the level of
    a box on the boundary, would differ between devices and compilers; comparisons do not.
    """
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    areas = sides[..., 0] * sides[..., 1]
    levels = (areas > 0).long() - 1
    for level in range(1, count):
        least_side = (2.0**level - 1e-6) * finest
        levels = levels + (areas >= least_side * least_side).long()
    return torch.where(areas > 0, levels, -1)


def make_rois(boxes: Tensor, inclusive: bool) -> Tensor:
    """(B, P, 4) -> (B * P, 5): index of the image and span of each box.

    Args:
        boxes: xyxy with exclusive corners.
        inclusive: a box spans from its first to its last pixel, one less than its width.
    """
    images = torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype)
    low, high = boxes[..., :2], boxes[..., 2:]
    spans = [images[:, None, None].expand(-1, boxes.shape[1], 1), low]
    return torch.cat([*spans, high - 1 if inclusive else high], -1).flatten(0, 1)
