"""What the losses of a head are made of.

Quality and distribution focal loss: https://arxiv.org/abs/2006.04388, section 3.
"""

import torch.nn.functional as F
from torch import Tensor


def quality_focal_sum(logits: Tensor, qualities: Tensor) -> Tensor:
    """Cross-entropy of scores to qualities, weighted by the square of their distance.

    Args:
        logits: (B, N, C).
        qualities: (B, N, C) in [0, 1]; 0 where a class is not at a point.
    """
    distance = qualities - logits.sigmoid()
    losses = F.binary_cross_entropy_with_logits(logits, qualities, reduction="none")
    return (losses * distance.square()).sum()


def distribution_focal_losses(logits: Tensor, distances: Tensor) -> Tensor:
    """Cross-entropy to the two bins around a distance, each weighted by how near it is.

    Args:
        logits: (..., 4 * bins).
        distances: (..., 4) in bins, from 0 and below the last.

    Returns:
        (..., 4), for each side.
    """
    logarithms = F.log_softmax(logits.unflatten(-1, (4, -1)), -1)
    lower = distances.floor()
    bins = lower.long()[..., None]
    near, far = (logarithms.gather(-1, bins + i)[..., 0] for i in (0, 1))
    return -(near * (lower + 1 - distances) + far * (distances - lower))
