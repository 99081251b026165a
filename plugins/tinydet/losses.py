"""Sums of losses over chosen elements; the caller divides."""

import torch.nn.functional as F
from torch import Tensor


def objectness_sum(logits: Tensor, positive: Tensor, chosen: Tensor) -> Tensor:
    """Sigmoid cross-entropy over `chosen`; all of the same shape."""
    losses = F.binary_cross_entropy_with_logits(
        logits.float(), positive.to(logits.dtype).float(), reduction="none"
    )
    return (losses * chosen).sum()


def cross_entropy_sum(logits: Tensor, labels: Tensor, chosen: Tensor) -> Tensor:
    """Softmax cross-entropy over `chosen` (N,) of logits (N, C)."""
    return (F.cross_entropy(logits.float(), labels, reduction="none") * chosen).sum()


def smooth_l1_sum(deltas: Tensor, wanted: Tensor, chosen: Tensor, beta: float) -> Tensor:
    """Smooth L1 (https://arxiv.org/abs/1504.08083) over `chosen` (...) of deltas (..., 4)."""
    # padding may want infinite deltas, which would turn to NaN when multiplied by zero
    wanted = wanted.masked_fill(~chosen[..., None], 0)
    losses = F.smooth_l1_loss(deltas.float(), wanted, beta=beta, reduction="none")
    return (losses * chosen[..., None]).sum()
