"""SimOTA as PicoDet has it: the varifocal loss and GIoU as the cost of a match.

Paper: https://arxiv.org/abs/2111.00902, section 3.2, after https://arxiv.org/abs/2107.08430.
"""

import torch
from torch import Tensor

from harness.data.batch import Targets
from harness.model.distances import points_inside
from harness.model.dynamic_k import Assignment, assign_cheapest
from harness.ops import pairwise_ious
from harness.ops.boxes import centers_and_sides, giou_losses
from harness_plugins.picodet.varifocal import varifocal_costs

# Of a candidate that is not both inside and central, more than any other cost. Published is 1e8,
# beside which float32 keeps nothing of the rest: which of these points a box takes, such as one
# smaller than a cell, would be left to chance.
FAR = 1e5


@torch.no_grad()
def assign(
    logits: Tensor,
    boxes: Tensor,
    points: Tensor,
    targets: Targets,
    *,
    largest: int,
    iou_weight: float,
    radius: float,
) -> Assignment:
    """Assign points to ground truths by what was predicted at them.

    Args:
        logits: (B, N, C) of classes.
        boxes: (B, N, 4) as decoded, not clipped.
        points: (N, 3) of x, y and stride.
        targets: in network pixels, with at least one row.
        largest: see `assign_cheapest`.
        iou_weight: of 1 - GIoU in the cost.
        radius: see `find_candidates`.
    """
    candidates, preferred = find_candidates(points, targets, radius)
    ious = pairwise_ious(targets.boxes, boxes)
    costs = varifocal_costs(logits, ious, targets.labels)
    costs += iou_weight * giou_losses(targets.boxes[:, :, None], boxes[:, None])
    costs += FAR * ~preferred
    return assign_cheapest(costs, ious, targets.valid[..., None] & candidates[:, None], largest)


def find_candidates(points: Tensor, targets: Targets, radius: float) -> tuple[Tensor, Tensor]:
    """Points that may be matched, to whichever box; and those that each box prefers.

    Args:
        points: (N, 3) of x, y and stride.
        radius: strides from a box's centre, along either axis, within which points are central.

    Returns:
        (B, N) bool: strictly inside some box or central to some. (B, G, N) bool: both to this one.
    """
    inside = points_inside(points, targets.boxes)
    centers, _ = centers_and_sides(targets.boxes)
    away = (points[:, :2] - centers[:, :, None]).abs_().amax(-1)
    central = away < radius * points[:, 2]
    some = (inside | central) & targets.valid[..., None]
    return some.any(1), inside & central
