"""What the losses of a head are made of.

Quality and distribution focal loss: https://arxiv.org/abs/2006.04388, section 3; GIoU:
https://arxiv.org/abs/1902.09630.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.ops.boxes import box_areas

LEAST_AREA = 1e-6  # square pixels, of a union and of a hull


def quality_focal_sum(logits: Tensor, qualities: Tensor) -> Tensor:
    """Cross-entropy of scores to qualities, weighted by the square of their distance.

    Args:
        logits: (B, N, C).
        qualities: (B, N, C) in [0, 1]; 0 where a class is not at a point.
    """
    distance = qualities - logits.sigmoid()
    losses = F.binary_cross_entropy_with_logits(logits, qualities, reduction="none")
    return (losses * distance.square()).sum()


def giou_losses(boxes: Tensor, others: Tensor) -> Tensor:
    """1 - GIoU of boxes (..., 4) with their counterparts: (...)."""
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


def distribution_focal_losses(logits: Tensor, distances: Tensor) -> Tensor:
    """Cross-entropy to the two bins around a distance, each weighted by how near it is.

    Args:
        logits: (..., 4 * bins).
        distances: (..., 4) in bins, from 0 and below the last.

    Returns:
        (..., 4), for each side.
    """
    logarithms = F.log_softmax(torch.unflatten(logits, -1, (4, -1)), -1)
    lower = distances.floor()
    bins = lower.long()[..., None]
    near, far = (logarithms.gather(-1, bins + i)[..., 0] for i in (0, 1))
    return -(near * (lower + 1 - distances) + far * (distances - lower))
