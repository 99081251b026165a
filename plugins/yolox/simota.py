"""SimOTA, which chooses the points that an object is learnt at, for a whole batch at once.

Paper: https://arxiv.org/abs/2107.08430, section 2.1, after OTA, https://arxiv.org/abs/2103.14259;
with the rules of the published code, which differ: points near a centre are candidates whether or
not they lie inside the box.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

RADIUS = 1.5  # strides from the centre of a box to its candidates
MOST = 10  # points of a box at most
IOU_WEIGHT = 3.0
FAR = 1e6  # cost of a candidate of other boxes alone
LEAST_LOG = -100.0  # of a probability


@dataclass(frozen=True)
class Grid:
    """The cells of one map, row by row; a point is the centre of a cell."""

    height: int
    width: int
    stride: int

    def cells(self, device: torch.device | None = None) -> Tensor:
        """(N, 2) float32: column and row."""
        rows = torch.arange(self.height, device=device)
        columns = torch.arange(self.width, device=device)
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        return torch.stack([x, y], -1).reshape(-1, 2).float()

    def points(self, device: torch.device | None = None) -> Tensor:
        """(N, 2), x first, in network pixels."""
        return (self.cells(device) + 0.5) * self.stride

    def strides(self, device: torch.device | None = None) -> Tensor:
        """(N,), all the same."""
        return torch.full((self.height * self.width,), float(self.stride), device=device)


@dataclass(frozen=True)
class Truths:
    """Ground truth of a batch in network pixels; padding is not `valid`.

    Attributes:
        centers, sides: (B, G, 2), x first.
        labels: (B, G) int64.
        valid: (B, G) bool.
    """

    centers: Tensor
    sides: Tensor
    labels: Tensor
    valid: Tensor


@dataclass(frozen=True)
class Predicted:
    """What the head says at each of (B, N) points: logits, and boxes in network pixels."""

    objectness: Tensor
    classes: Tensor
    centers: Tensor
    sides: Tensor


@dataclass(frozen=True)
class Assignment:
    """Of the points that could be positive, in ascending order; then padding.

    Attributes:
        points: (B, U) int64, places among the N points; any on padding.
        valid: (B, U) bool: a candidate, not padding.
        positive: (B, U) bool.
        truths: (B, U) int64: which box it learns; any where not positive.
        ious: (B, U) of its predicted box with that; 0 where not positive.
        taken: (B, G) int64: how many points each box asked for.
        costs: (B, G, U), infinite where there is no box or no candidate.
    """

    points: Tensor
    valid: Tensor
    positive: Tensor
    truths: Tensor
    ious: Tensor
    taken: Tensor
    costs: Tensor


@torch.no_grad()
def assign_simota(predicted: Predicted, truths: Truths, grids: Sequence[Grid]) -> Assignment:
    """Match points to boxes; an image without boxes has negative points alone.

    Args:
        grids: of the N points, level by level.
    """
    boxes = truths.labels.shape[1]
    flags = torch.cat([_near_any(grid, truths) for grid in grids], 1)
    chosen, valid = _compact(flags, len(grids) * _cells_of_a_box() * boxes)
    points = torch.cat([grid.points(flags.device) for grid in grids])[chosen]
    reach = RADIUS * torch.cat([grid.strides(flags.device) for grid in grids])[chosen]
    allowed = truths.valid[:, :, None] & valid[:, None]
    near = allowed
    for axis in (0, 1):
        own = truths.centers[:, :, None, axis]
        near = near & _within(points[:, None, :, axis], own, reach[:, None])
    ious = torch.where(allowed, _ious(predicted, truths, chosen), 0.0)
    # in place, since fresh memory costs a CPU more than the arithmetic
    costs = _class_costs(predicted, truths.labels, chosen)
    costs.add_((ious + 1e-8).log_().neg_().mul_(IOU_WEIGHT))
    costs = torch.where(near, costs, costs + FAR).masked_fill_(~allowed, torch.inf)
    most = min(MOST, ious.shape[2])
    taken = ious.topk(most, 2).values.sum(2).int().clamp(min=1).long()
    matched = _cheapest(costs, taken, most) & allowed
    # a point of several boxes goes to the one of least cost among all boxes
    best = costs.transpose(1, 2).contiguous().argmin(2)
    order = torch.arange(boxes, device=best.device)[:, None]
    matched = torch.where(matched.sum(1, keepdim=True) > 1, best[:, None] == order, matched)
    return Assignment(
        points=chosen,
        valid=valid,
        positive=matched.any(1),
        truths=(matched * order).sum(1),
        ious=(ious * matched).sum(1),
        taken=taken,
        costs=costs,
    )


def _cells_of_a_box() -> int:
    """Cells of one map whose centres can be nearer than `RADIUS` strides in both axes."""
    return int(2 * RADIUS) ** 2


def _near_any(grid: Grid, truths: Truths) -> Tensor:
    """(B, cells) bool: within the radius of any box's centre.

    Rows and columns are compared apart; a cell is near where some box is near both its row and
    its column, which is a product of matrices.
    """
    reach = torch.tensor(RADIUS * grid.stride, device=truths.centers.device)
    sides = []
    for axis, size in ((1, grid.height), (0, grid.width)):
        lines = (torch.arange(size, device=reach.device) + 0.5) * grid.stride
        sides.append(_within(lines, truths.centers[:, :, axis, None], reach))
    rows = (sides[0] & truths.valid[..., None]).float()
    return (rows.transpose(1, 2) @ sides[1].float() > 0).flatten(1)


def _within(points: Tensor, centers: Tensor, reach: Tensor) -> Tensor:
    """Nearer than `reach` along one axis."""
    return (points - (centers - reach) > 0) & (centers + reach - points > 0)


def _compact(flags: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Places of the True in (B, N), ascending, padded to `size`; and which are real."""
    size = min(size, flags.shape[1])
    ranks = flags.cumsum(1) - 1
    places = torch.arange(flags.shape[1], device=flags.device).expand_as(ranks)
    chosen = ranks.new_zeros((len(flags), size + 1))  # the last column is for the rest
    chosen.scatter_(1, torch.where(flags, ranks, size), places)
    valid = torch.arange(size, device=flags.device) < flags.sum(1, keepdim=True)
    return torch.where(valid, chosen[:, :size], 0), valid


def rows_of(values: Tensor, chosen: Tensor) -> Tensor:
    """(B, N, C) -> (B, U, C).

    Column by column, as joined levels lie in memory: for rows all N would be copied first.
    """
    columns = values.transpose(1, 2)
    found = columns.gather(2, chosen[:, None].expand(-1, columns.shape[1], -1))
    return found.transpose(1, 2).contiguous()


def _ious(predicted: Predicted, truths: Truths, chosen: Tensor) -> Tensor:
    """(B, G, U), without an epsilon."""
    centers, sides = rows_of(predicted.centers, chosen), rows_of(predicted.sides, chosen)
    spans = []
    for axis in (0, 1):
        own, half = truths.centers[:, :, None, axis], truths.sides[:, :, None, axis] / 2
        center, reach = centers[:, None, :, axis], sides[:, None, :, axis] / 2
        low = torch.maximum(own - half, center - reach)
        high = torch.minimum(own + half, center + reach)
        spans.append((high - low).clamp(min=0))
    inter = spans[0] * spans[1]
    return inter / (truths.sides.prod(2)[:, :, None] + sides.prod(2)[:, None] - inter)


def _class_costs(predicted: Predicted, labels: Tensor, chosen: Tensor) -> Tensor:
    """(B, G, U): binary cross-entropy over all classes of the root of class times objectness.

    Summed once as if no class were meant, then corrected for the class of each box.
    """
    objectness = predicted.objectness.gather(1, chosen)[..., None].float().sigmoid()
    scores = rows_of(predicted.classes, chosen).float().sigmoid_().mul_(objectness).sqrt_()
    absent = scores.neg().log1p_().clamp_(min=LEAST_LOG).neg_()
    of_label = labels[:, None].clamp(0, scores.shape[2] - 1).expand(-1, scores.shape[1], -1)
    present = scores.gather(2, of_label).log_().clamp_(min=LEAST_LOG).neg_()
    costs = (absent.sum(2, keepdim=True) - absent.gather(2, of_label)).add_(present)
    return costs.transpose(1, 2).contiguous()


def _cheapest(costs: Tensor, taken: Tensor, most: int) -> Tensor:
    """(B, G, U) bool: the `taken` cheapest points of each box."""
    order = costs.topk(most, 2, largest=False).indices
    first = torch.arange(most, device=costs.device) < taken[..., None]
    return torch.zeros_like(costs, dtype=torch.bool).scatter_(2, order, first)
