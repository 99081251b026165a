"""The quality focal loss (https://arxiv.org/abs/2006.04388, section 3)."""

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
