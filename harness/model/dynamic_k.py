"""Each ground truth takes its cheapest points, as many as its IoUs with them add up to.

SimOTA's "dynamic k" (https://arxiv.org/abs/2107.08430, section 2.1) for heads whose costs are known
for every pair of a ground truth and a point. All images of a batch at once; no gradient.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

UNMATCHED = -1


@dataclass(frozen=True)
class Assignment:
    """What each point is trained on.

    Attributes:
        matched: (B, N) int64, index of the ground truth, or `UNMATCHED`.
        quality: (B, N), IoU of the assigning box with it; 0 where unmatched.
    """

    matched: Tensor
    quality: Tensor

    @property
    def positive(self) -> Tensor:
        return self.matched >= 0


@torch.no_grad()
def assign_cheapest(costs: Tensor, ious: Tensor, allowed: Tensor, largest: int) -> Assignment:
    """Assign points to ground truths.

    Args:
        costs: (B, G, N), overwritten.
        ious: (B, G, N) of the predicted boxes.
        allowed: (B, G, N) bool, False where they must not match.
        largest: a ground truth takes as many points as the sum of its so many largest IoUs.
    """
    costs = costs.masked_fill_(~allowed, torch.inf)
    counts = count_points(ious.masked_fill(~allowed, 0), largest)
    matched = match(costs, counts, largest)
    quality = ious.gather(1, matched.clamp(min=0)[:, None])[:, 0]
    return Assignment(matched, quality * (matched >= 0))


def count_points(ious: Tensor, largest: int) -> Tensor:
    """(B, G) int64: how many points each ground truth takes, from its IoUs with the candidates."""
    best = ious.topk(min(largest, ious.shape[2])).values
    return best.sum(2).long().clamp(min=1)


def match(costs: Tensor, counts: Tensor, most: int) -> Tensor:
    """(B, N) int64: the ground truth that takes each point, or `UNMATCHED`.

    A point that several take goes to the one, of all in the image, to which it is cheapest.

    Args:
        costs: (B, G, N), infinite where a match is not allowed.
        counts: (B, G), how many points each takes, no more than `most` and those that are allowed.
    """
    batch, objects, size = costs.shape
    cheapest = costs.topk(min(most, size), largest=False)
    rank = torch.arange(cheapest.values.shape[2], device=costs.device)
    takes = (rank < counts[..., None]) & cheapest.values.isfinite()
    points, takes = cheapest.indices.flatten(1), takes.flatten(1)
    taker = torch.arange(objects, device=costs.device).repeat_interleave(len(rank))
    # what is not taken is counted in a column of its own
    places = torch.where(takes, points, size)
    takers = counts.new_zeros((batch, size + 1)).scatter_add_(1, places, takes.long())
    nearest = costs.gather(2, points[:, None].expand(-1, objects, -1)).argmin(1)
    found = torch.where(takers.gather(1, places) > 1, nearest, taker)
    return torch.full_like(takers, UNMATCHED).scatter_(1, places, found)[:, :size]
