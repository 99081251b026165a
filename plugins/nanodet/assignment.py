"""Dynamic soft label assignment of NanoDet-Plus: each ground truth takes its cheapest points.

In the manner of SimOTA (https://arxiv.org/abs/2107.08430, section 2), with the quality focal loss
as the cost of a class. All images of a batch at once; no gradient.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.data.batch import Targets
from harness.ops import pairwise_ious

UNMATCHED = -1
TINY_IOU = 1e-7  # added before the logarithm


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
def assign(
    logits: Tensor,
    boxes: Tensor,
    points: Tensor,
    targets: Targets,
    *,
    largest: int,
    iou_weight: float,
) -> Assignment:
    """Assign points to ground truths by what was predicted at them.

    Args:
        logits: (B, N, C) of classes.
        boxes: (B, N, 4) as decoded, not clipped.
        points: (N, 2 or more), x and y first.
        targets: in network pixels, with at least one row.
        largest: a ground truth takes as many points as the sum of its so many largest IoUs.
        iou_weight: of the logarithm of the IoU in the cost.
    """
    allowed = targets.valid[..., None] & find_candidates(points, targets)[:, None]
    ious = pairwise_ious(targets.boxes, boxes)
    costs = find_costs(logits, ious, targets.labels, iou_weight)
    costs = costs.masked_fill_(~allowed, torch.inf)
    counts = count_points(ious.masked_fill(~allowed, 0), largest)
    matched = match(costs, counts, largest)
    quality = ious.gather(1, matched.clamp(min=0)[:, None])[:, 0]
    return Assignment(matched, quality * (matched >= 0))


def find_candidates(points: Tensor, targets: Targets) -> Tensor:
    """(B, N) bool: strictly inside some ground truth."""
    x, y = points[:, 0], points[:, 1]
    x1, y1, x2, y2 = targets.boxes[..., None].unbind(-2)
    inside = (x > x1) & (y > y1) & (x < x2) & (y < y2)
    return (inside & targets.valid[..., None]).any(1)


def find_costs(logits: Tensor, ious: Tensor, labels: Tensor, iou_weight: float) -> Tensor:
    """(B, G, N): quality focal loss over all classes, were this the match, and the IoU's logarithm.

    The loss of the other classes is that of all, with quality 0, less the ground truth's own.
    """
    # one logarithm for the cross-entropy to 0, where torch's softplus takes thrice as long; in
    # place, since fresh memory costs a CPU more than the arithmetic
    scores = logits.neg().sigmoid_().clamp_(min=torch.finfo(logits.dtype).tiny)
    entropy = scores.log().neg_()
    scores.neg_().add_(1)
    own = labels[:, None].expand(-1, logits.shape[1], -1)
    own_logits, own_entropy, own_scores = (x.gather(2, own) for x in (logits, entropy, scores))
    qualities = ious.transpose(1, 2).contiguous()
    found = (own_entropy - own_logits.mul_(qualities)).mul_((qualities - own_scores).square_())
    found.sub_(own_entropy.mul_(own_scores.square_()))
    found.add_(entropy.mul_(scores.square_()).sum(2, keepdim=True))
    found.sub_((qualities + TINY_IOU).log_(), alpha=iou_weight)
    return found.transpose(1, 2).contiguous()


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
