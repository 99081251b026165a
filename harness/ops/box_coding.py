"""Boxes as deltas from anchors: https://arxiv.org/abs/1506.01497, section 3.1.2."""

import torch
from torch import Tensor


def centers_and_sides(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """(..., 4) xyxy -> (..., 2) each."""
    low, high = boxes.split(2, -1)  # type: ignore[no-untyped-call]
    return (low + high) * 0.5, high - low


def decode_boxes(deltas: Tensor, anchors: Tensor, max_log_ratio: float) -> Tensor:
    """Shifts of centres in sides of the anchor and logarithms of sides, (..., 4) -> xyxy.

    A logarithm is held within plus or minus `max_log_ratio`.
    """
    shifts, logs = deltas.split(2, -1)  # type: ignore[no-untyped-call]
    centers, sides = centers_and_sides(anchors)
    centers = centers + sides * shifts
    halves = sides * logs.clamp(-max_log_ratio, max_log_ratio).exp() * 0.5
    return torch.cat([centers - halves, centers + halves], -1)


def clip_boxes(boxes: Tensor, image_size: tuple[int, int], inside: float = 0.0) -> Tensor:
    """(..., 4) xyxy with exclusive corners into an image of (height, width).

    Args:
        inside: so many pixels of a box beyond the border stay in the image.
    """
    height, width = image_size
    x1, y1, x2, y2 = boxes.unbind(-1)
    low = [x1.clamp(0, width - inside), y1.clamp(0, height - inside)]
    return torch.stack([*low, x2.clamp(inside, width), y2.clamp(inside, height)], -1)
