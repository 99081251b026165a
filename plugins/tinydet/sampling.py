"""Which boxes a loss sees: random for the RPN, hard examples for the box head."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Samples:
    """Chosen boxes of each image, positives first, then negatives, then padding.

    Attributes:
        indices: (B, S) int64 into the boxes of an image; any index on padding.
        positive: (B, S) bool.
        negative: (B, S) bool. Padding is neither.
    """

    indices: Tensor
    positive: Tensor
    negative: Tensor

    @property
    def valid(self) -> Tensor:
        return self.positive | self.negative


def select_samples(
    positive: Tensor, negative: Tensor, keys: Tensor, limit: int | None, positive_fraction: float
) -> Samples:
    """Choose up to `limit` boxes per image, as many of them positive as the fraction allows.

    Negatives fill what positives leave. Of either kind those with the greatest key are chosen:
    random keys sample at random, losses mine hard examples (https://arxiv.org/abs/1604.03540).

    Args:
        positive, negative: (B, N) bool, never both.
        keys: (B, N).
        limit: None takes all.
        positive_fraction: of `limit` (of all boxes where that is None).
    """
    count = keys.shape[1]
    limit = count if limit is None else limit
    positives, is_positive = _greatest(positive, keys, min(int(limit * positive_fraction), count))
    negatives, is_negative = _greatest(negative, keys, min(limit, count))
    rank = torch.arange(negatives.shape[1], device=keys.device)
    is_negative = is_negative & (rank < limit - is_positive.sum(1, keepdim=True))
    kind = torch.cat([is_positive * 2, is_negative * 1], 1)
    kind, order = kind.topk(min(limit, kind.shape[1]), 1)
    indices = torch.cat([positives, negatives], 1).gather(1, order)
    return Samples(indices, kind == 2, kind == 1)


def _greatest(mask: Tensor, keys: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Indices of the greatest keys under a mask, best first, and where there were any: (B, count).

    The keys must be above -inf.
    """
    values, indices = keys.masked_fill(~mask, -torch.inf).topk(count, 1)
    return indices, values > -torch.inf
