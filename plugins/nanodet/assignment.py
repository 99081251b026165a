"""Dynamic soft label assignment of NanoDet-Plus: each ground truth takes its cheapest points.

In the manner of SimOTA (https://arxiv.org/abs/2107.08430, section 2), with the quality focal loss
as the cost of a class. All images of a batch at once; no gradient.
"""

import torch
from torch import Tensor

from harness.data.batch import Targets
from harness.model.distances import points_inside
from harness.model.dynamic_k import Assignment, assign_cheapest
from harness.ops import pairwise_ious

TINY_IOU = 1e-7  # added before the logarithm


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
        largest: see `assign_cheapest`.
        iou_weight: of the logarithm of the IoU in the cost.
    """
    allowed = targets.valid[..., None] & find_candidates(points, targets)[:, None]
    ious = pairwise_ious(targets.boxes, boxes)
    costs = find_costs(logits, ious, targets.labels, iou_weight)
    return assign_cheapest(costs, ious, allowed, largest)


def find_candidates(points: Tensor, targets: Targets) -> Tensor:
    """(B, N) bool: strictly inside some ground truth."""
    return (points_inside(points, targets.boxes) & targets.valid[..., None]).any(1)


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
