"""Position-sensitive RoI-align in plain PyTorch. It defines the op; the kernels are tested with it.

Vectorised over RoIs, channels, cells and points, on any device, differentiable by autograd. Its
memory grows with the points of the largest cell, so it is for checking and for machines without a
compiler.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# In map pixels. Beyond this float32 cannot place a point to an eighth of a pixel within the map.
REACH = 2.0**20
# More than the rounding of a point's position within reach, in points of an adaptive grid.
MARGIN = 4


def accumulate_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype that the op computes in, and that it takes its RoIs in."""
    return torch.float64 if dtype == torch.float64 else torch.float32


@dataclass(frozen=True)
class Axis:
    """Points of all cells along one axis: (N,) per RoI, (N, P) per cell, (N, P, S) per point."""

    usable: Tensor  # (N,) bool
    grid: Tensor  # (N,) points of a cell; those outside [first, last) lie outside the map
    first: Tensor  # (N, P)
    last: Tensor  # (N, P)
    reached: Tensor  # (N, P, S) bool: not padding
    inside: Tensor  # (N, P, S) bool: reads the map
    low: Tensor  # (N, P, S) neighbours
    high: Tensor
    low_weight: Tensor
    high_weight: Tensor

    @property
    def count(self) -> Tensor:
        return self.last - self.first


def make_axis(
    low: Tensor, high: Tensor, scale: float, pooled: int, sampling_ratio: int, extent: int
) -> Axis:
    """Start = coordinate x scale, without half-pixel shift; side = max(end - start, 0.1)."""
    start = low * scale
    side = high * scale - start
    usable = (start.abs() <= REACH) & (side.abs() <= REACH)  # False for NaN and infinities
    start, side = torch.where(usable, start, 0.0), torch.where(usable, side, 0.0).clamp(min=0.1)
    size = (side / pooled)[:, None]
    cell_start = start[:, None] + torch.arange(pooled, device=low.device) * size
    grid = torch.full_like(size, sampling_ratio) if sampling_ratio > 0 else size.ceil()
    first, last = torch.zeros_like(cell_start), grid.expand_as(cell_start)
    points = sampling_ratio
    if sampling_ratio <= 0:
        step = size / grid
        reach_first = ((-1 - cell_start) / step).floor() - MARGIN
        reach_last = ((extent - cell_start) / step).ceil() + MARGIN
        clips = grid > 1
        first = torch.where(clips, reach_first.clamp(min=0).minimum(grid), first)
        last = torch.where(clips, reach_last.clamp(min=0).minimum(grid), last)
        points = int((last - first).max()) if last.numel() else 0
    index = first[..., None] + torch.arange(points, device=low.device)
    coordinate = cell_start[..., None] + (index + 0.5) * size[..., None] / grid[..., None]
    reached = index < last[..., None]
    inside = reached & (coordinate >= -1) & (coordinate <= extent)
    coordinate = torch.where(inside, coordinate, 0.0).clamp(min=0)
    lower = coordinate.floor().clamp(max=extent - 1)
    high_weight = torch.where(lower >= extent - 1, 0.0, coordinate - lower)
    lower = lower.long()
    return Axis(
        usable=usable,
        grid=grid[:, 0],
        first=first.long(),
        last=last.long(),
        reached=reached,
        inside=inside,
        low=lower,
        high=(lower + 1).clamp(max=extent - 1),
        low_weight=1 - high_weight,
        high_weight=high_weight,
    )


@dataclass(frozen=True)
class Points:
    """Where every RoI reads: both axes, and the start of its planes in the flat features."""

    usable: Tensor  # (N,)
    base: Tensor  # (N, C_out, PH, PW)
    y: Axis
    x: Axis
    width: int

    def neighbours(self) -> list[tuple[Tensor, Tensor]]:
        """Flat offset and weight, (N, 1, PH, PW, SY, SX), of the four neighbours of each point."""
        rows = [(self.y.low, self.y.low_weight), (self.y.high, self.y.high_weight)]
        columns = [(self.x.low, self.x.low_weight), (self.x.high, self.x.high_weight)]
        return [
            (along_y(row) * self.width + along_x(column), along_y(row_weight) * along_x(weight))
            for row, row_weight in rows
            for column, weight in columns
        ]


def along_y(values: Tensor) -> Tensor:
    """(N, PH, SY) -> (N, 1, PH, 1, SY, 1)."""
    return values[:, None, :, None, :, None]


def along_x(values: Tensor) -> Tensor:
    """(N, PW, SX) -> (N, 1, 1, PW, 1, SX)."""
    return values[:, None, None, :, None, :]


def make_points(
    rois: Tensor, shape: tuple[int, ...], scale: float, pooled: tuple[int, int], sampling_ratio: int
) -> Points:
    batch, channels, height, width = shape
    y = make_axis(rois[:, 2], rois[:, 4], scale, pooled[0], sampling_ratio, height)
    x = make_axis(rois[:, 1], rois[:, 3], scale, pooled[1], sampling_ratio, width)
    image = rois[:, 0]
    usable = (image >= 0) & (image < batch) & y.usable & x.usable
    image = torch.where(usable, image, 0.0).long()
    channel = torch.arange(channels, device=rois.device).view(-1, *pooled)
    base = (image[:, None, None, None] * channels + channel) * (height * width)
    return Points(usable, base, y, x, width)


def psroi_align_reference(
    features: Tensor,
    rois: Tensor,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    output_channels: int,
    sampling_ratio: int,
    reduce: str,
) -> tuple[Tensor, Tensor]:
    """`harness::psroi_align`: output, and the index of each maximum (empty for the mean)."""
    pooled = (pooled_height, pooled_width)
    size = (rois.shape[0], output_channels, *pooled)
    empty = rois.new_empty((0, *size[1:]), dtype=torch.long)
    if not rois.shape[0]:
        return features.sum().mul(0).expand(size).clone(), empty
    points = make_points(rois, tuple(features.shape), spatial_scale, pooled, sampling_ratio)
    flat = features.to(accumulate_dtype(features.dtype)).reshape(-1)
    values = torch.zeros((), dtype=flat.dtype, device=flat.device)
    for offset, weight in points.neighbours():
        values = values + weight * flat[points.base[..., None, None] + offset]
    values = torch.where(along_y(points.y.inside) & along_x(points.x.inside), values, 0.0)
    usable = points.usable[:, None, None, None]
    if reduce == "mean":
        total = values.sum((-2, -1)) / _per_roi(points.y.grid) / _per_roi(points.x.grid)
        return torch.where(usable, total, 0.0).to(features.dtype), empty
    output, index = _maximum(values, points)
    return (
        torch.where(usable, output, 0.0).to(features.dtype),
        torch.where(usable, index, -1),
    )


def _per_roi(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _maximum(values: Tensor, points: Points) -> tuple[Tensor, Tensor]:
    """The first maximum of each cell, points outside the map counting as zero."""
    y, x = points.y, points.x
    if not values.shape[-1] * values.shape[-2]:  # no point of any cell can touch the map
        return values.sum((-2, -1)), points.base * 0 - 1
    values = torch.where(along_y(y.reached) & along_x(x.reached), values, -torch.inf)
    best, at = values.flatten(-2).max(-1)
    row, column = at // values.shape[-1], at % values.shape[-1]
    # Points beyond reach are not among the values. The first of them stands for all: it comes
    # before every other point, or after the first row, or at the end.
    y_first, y_last = y.first[:, None, :, None], y.last[:, None, :, None]
    x_first, x_last = x.first[:, None, None, :], x.last[:, None, None, :]
    before = (y_first > 0) | (x_first > 0)
    after_row = x_last < _per_roi(x.grid)
    skipped = before | after_row | (y_last < _per_roi(y.grid))
    outside = skipped & ((best < 0) | ((best == 0) & (before | (after_row & (row > 0)))))
    index = row * x.count[:, None, None, :] + column
    return torch.where(outside, 0.0, best), torch.where(outside, -1, index)


def psroi_align_backward_reference(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    feature_shape: list[int],
    spatial_scale: float,
    sampling_ratio: int,
    reduce: str,
) -> Tensor:
    """`harness::psroi_align_backward`: the features' gradient in the dtype of the RoIs."""
    gradient = rois.new_zeros(feature_shape)
    if not rois.shape[0]:
        return gradient
    pooled = (grad_output.shape[2], grad_output.shape[3])
    points = make_points(rois, tuple(feature_shape), spatial_scale, pooled, sampling_ratio)
    share = torch.where(_per_roi(points.usable), grad_output.to(rois.dtype), 0.0)
    inside = along_y(points.y.inside) & along_x(points.x.inside)
    if reduce == "mean":
        share = share / _per_roi(points.y.grid) / _per_roi(points.x.grid)
    else:
        row, column = (torch.arange(n, device=rois.device) for n in inside.shape[-2:])
        point = row[:, None] * points.x.count[:, None, None, :, None, None] + column
        reached = along_y(points.y.reached) & along_x(points.x.reached)
        inside = inside & reached & (point == argmax[..., None, None])
    share = torch.where(inside, share[..., None, None], 0.0)
    flat = gradient.view(-1)
    for offset, weight in points.neighbours():
        target = points.base[..., None, None] + offset
        flat.index_add_(0, target.reshape(-1), (weight * share).reshape(-1))
    return gradient
