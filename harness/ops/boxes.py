"""Areas and overlaps of boxes, xyxy with exclusive corners."""

import torch
from torch import Tensor


def box_areas(boxes: Tensor) -> Tensor:
    """(..., 4) -> (...)."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def pairwise_ious(boxes: Tensor, others: Tensor, of_nothing: float = 0.0) -> Tensor:
    """IoU of each of (..., N, 4) with each of (..., M, 4): (..., N, M). No gradient.

    Works axis by axis and in place: there may be a million pairs.

    Args:
        of_nothing: 0 or NaN, for two boxes that both have no area.
    """
    boxes, others = boxes.detach(), others.detach()
    inter = _overlaps(boxes, others, 0).mul_(_overlaps(boxes, others, 1))
    union = (box_areas(boxes)[..., :, None] + box_areas(others)[..., None, :]).sub_(inter)
    if of_nothing == 0:
        union.clamp_(min=torch.finfo(union.dtype).tiny)
    return inter.div_(union)


def _overlaps(boxes: Tensor, others: Tensor, axis: int) -> Tensor:
    low = torch.maximum(boxes[..., :, None, axis], others[..., None, :, axis])
    high = torch.minimum(boxes[..., :, None, axis + 2], others[..., None, :, axis + 2])
    return high.sub_(low).clamp_(min=0)
