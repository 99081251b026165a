"""Focal loss (https://arxiv.org/abs/1708.02002, section 3)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def focal_losses(
    logits: Tensor, labels: Tensor, positive: Tensor, alpha: float, gamma: float
) -> Tensor:
    """The focal loss of each anchor over all classes.

    Summed once as if no class were there, then corrected for the one that is: its target is the
    only one that differs, so none are written out.

    Args:
        logits: (B, N, C).
        labels: (B, N) int64, any where not positive.
        positive: (B, N) bool.
        alpha: weight where a class is there; 1 - alpha where it is not.
        gamma: exponent of the distance between score and target.

    Returns:
        (B, N).
    """
    own = logits.gather(2, labels[..., None])[..., 0]
    present = alpha * _modulated(-own, gamma)
    change = present - (1 - alpha) * _modulated(own, gamma)
    absent = (1 - alpha) * _modulated(logits, gamma).sum(2)
    return absent + torch.where(positive, change, 0.0)


def _modulated(logits: Tensor, gamma: float) -> Tensor:
    """Cross-entropy to 0 times the score to the power of gamma."""
    # by the logarithm of the score: a power of 0 has no gradient for some exponents
    return (gamma * F.logsigmoid(logits)).exp() * F.softplus(logits)
