"""The anchor that overlaps each object most.

Anchors of a feature map are a few shapes, each at every point of a grid. Of one shape the anchor
whose centre is nearest to the object's in x and in y overlaps it most, since the overlap along an
axis only falls with the distance and IoU rises with the shared area. So a few anchors per object
are looked at instead of tens of thousands.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.data.boxes import box_areas, pairwise_ious

Floats = NDArray[np.float64]
_SAME = 1e-3  # pixels by which equal sides and centres may differ after rounding to float32
_CELLS = 4_000_000  # of an (objects, anchors) array that is worked on at a time


@dataclass(frozen=True, eq=False)
class AnchorGrid:
    """Anchors of one feature map.

    Attributes:
        stride: in network pixels.
        boxes: (N, 4) xyxy with exclusive corners in network pixels.
    """

    stride: float
    boxes: Floats


@dataclass(frozen=True, eq=False)
class _Shape:
    """Anchors of one width and height at every x with every y; both ascending."""

    width: float
    height: float
    x: Floats
    y: Floats


def find_best(boxes: Floats, grids: Sequence[AnchorGrid]) -> tuple[Floats, Floats]:
    """IoU of the best anchor and the stride of its map, (n,) each; of equal ones the finest.

    Args:
        boxes: (n, 4) xyxy in network pixels.
        grids: at least one.
    """
    best, stride = np.full(len(boxes), -1.0), np.full(len(boxes), np.nan)
    for grid in sorted(grids, key=lambda grid: grid.stride):
        ious = best_ious(boxes, grid.boxes)
        better = ious > best
        best[better], stride[better] = ious[better], grid.stride
    return best, stride


def best_ious(boxes: Floats, anchors: Floats) -> Floats:
    """(n,) IoU of each box of (n, 4) with the best of (N, 4) anchors; 0 without anchors."""
    result = np.zeros(len(boxes))
    for group in _split_shapes(anchors):
        shape = _find_grid(group)
        ious = _scan(boxes, group) if shape is None else _nearest(boxes, shape)
        np.maximum(result, ious, out=result)
    return result


def _split_shapes(anchors: Floats) -> Iterator[Floats]:
    """Anchors of one width and height each."""
    sides = np.rint((anchors[:, 2:] - anchors[:, :2]) / _SAME).astype(np.int64)
    _, shape = np.unique(sides, axis=0, return_inverse=True)
    order = np.argsort(shape.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(shape.ravel()))
    yield from np.split(anchors[order], ends[:-1]) if len(anchors) else ()


def _find_grid(anchors: Floats) -> _Shape | None:
    """The grid that anchors of one shape stand on, None where they stand otherwise."""
    x, y = ((anchors[:, axis] + anchors[:, axis + 2]) / 2 for axis in (0, 1))
    columns, rows = _distinct(x), _distinct(y)
    column, row = (
        np.searchsorted(distinct, values, side="right") - 1
        for distinct, values in ((columns, x), (rows, y))
    )
    if len(np.unique(column * len(rows) + row)) != len(columns) * len(rows):
        return None
    width, height = (anchors[0, 2:] - anchors[0, :2]).tolist()
    return _Shape(width, height, columns, rows)


def _distinct(values: Floats) -> Floats:
    values = np.sort(values)
    return values[np.diff(values, prepend=-np.inf) > _SAME]


def _nearest(boxes: Floats, shape: _Shape) -> Floats:
    shared_x = _overlap(boxes[:, 0], boxes[:, 2], shape.x, shape.width)
    shared_y = _overlap(boxes[:, 1], boxes[:, 3], shape.y, shape.height)
    shared = shared_x * shared_y
    return np.asarray(shared / (box_areas(boxes) + shape.width * shape.height - shared))


def _overlap(low: Floats, high: Floats, centres: Floats, side: float) -> Floats:
    """(n,) overlap along one axis with the anchor of the nearest centre."""
    middle = (low + high) / 2
    after = np.searchsorted(centres, middle).clip(1, max(len(centres) - 1, 1))
    at = np.minimum(after, len(centres) - 1)
    before = np.maximum(at - 1, 0)
    nearer = np.where(np.abs(centres[before] - middle) <= np.abs(centres[at] - middle), before, at)
    start = centres[nearer] - side / 2
    shared = np.minimum(high, start + side) - np.maximum(low, start)
    return np.asarray(np.maximum(shared, 0.0))


def _scan(boxes: Floats, anchors: Floats) -> Floats:
    """Every box with every anchor."""
    result = np.zeros(len(boxes))
    rows = max(1, _CELLS // len(anchors))
    for start in range(0, len(boxes), rows):
        result[start : start + rows] = pairwise_ious(boxes[start : start + rows], anchors).max(
            axis=1
        )
    return result
