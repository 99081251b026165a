"""What a detector can hope for on a data set, before any training. Numpy alone.

Sizes are sqrt(area) of the annotation's `area` (of the mask in official COCO), scaled as the
detector's resize scales the image; anchors are compared with boxes. Crowds are not counted.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.annotations import Annotations
from harness.data.boxes import SIDES
from harness.data.scaling import network_scale
from harness.results.anchors import AnchorGrid, find_best

COVERED_IOU = 0.5
PADDING = 32  # network inputs are padded to a multiple of it, as `collate_images` does
COCO_EDGES = (0.0, *SIDES, math.inf)  # small, medium, large

Floats = NDArray[np.float64]
LayAnchors = Callable[[tuple[int, int]], Sequence[AnchorGrid]]


@dataclass(frozen=True)
class DataCounts:
    """A split as a whole.

    Attributes:
        empty_images: without a box.
        boxes: crowds not counted.
        empty_classes: without a box.
        boxes_per_image: mean, median and most; over all images.
    """

    images: int
    empty_images: int
    boxes: int
    crowds: int
    classes: int
    empty_classes: int
    boxes_per_image: tuple[float, float, int]


@dataclass(frozen=True, eq=False)
class Prospects:
    """What each object is to a detector; NaN where it has no anchors.

    Attributes:
        sizes: (n,) sqrt(area) in network pixels.
        best_iou: (n,) IoU of the best anchor.
        finest_stride: (n,) smallest stride that has anchors.
        best_stride: (n,) stride of the best anchor.
        positive_iou: from which an anchor learns an object, None where there is no such limit.
    """

    sizes: Floats
    best_iou: Floats
    finest_stride: Floats
    best_stride: Floats
    positive_iou: float | None


@dataclass(frozen=True)
class SizeRow:
    """The objects of sqrt(area) in [low, high) network pixels; NaN where there is none.

    Attributes:
        share: of all objects.
        covered: share that some anchor overlaps with IoU >= 0.5.
        positive: share that some anchor overlaps as much as the detector asks for in training.
        best_iou: median over the objects of the IoU of the best anchor.
        cells_finest, cells_best: median of the object's area in cells of the finest map and of
            the map of its best anchor.
    """

    low: float
    high: float
    count: int
    share: float
    covered: float
    positive: float
    best_iou: float
    cells_finest: float
    cells_best: float


def count_data(annotations: Annotations) -> DataCounts:
    """Images, boxes, crowds and classes."""
    objects = annotations.objects
    kept = ~objects.crowd
    each = np.bincount(_image_of(annotations), minlength=len(annotations.images))
    of_class = np.bincount(objects.labels[kept], minlength=len(annotations.classes))
    return DataCounts(
        len(annotations.images),
        int((each == 0).sum()),
        int(kept.sum()),
        int(objects.crowd.sum()),
        len(annotations.classes),
        int((of_class == 0).sum()),
        (float(each.mean()), float(np.median(each)), int(each.max())),
    )


def original_sizes(annotations: Annotations) -> Floats:
    """(n,) sqrt(area) of the objects in pixels of the original."""
    return np.sqrt(annotations.objects.areas[~annotations.objects.crowd])


def measure_prospects(
    annotations: Annotations,
    resize: Mapping[str, Any],
    lay_anchors: LayAnchors,
    positive_iou: float | None = None,
) -> Prospects:
    """Objects as a detector meets them.

    Args:
        resize: how images come into the network (`Resize.describe`).
        lay_anchors: size of the padded network input (height, width) -> its anchors.
        positive_iou: of the detector.
    """
    scales = np.array([network_scale(resize, i.height, i.width) for i in annotations.images])
    pixels = np.array([(i.height, i.width) for i in annotations.images])
    inputs = np.ceil(np.rint(pixels * scales) / PADDING).astype(int) * PADDING
    objects, image = annotations.objects, _image_of(annotations)
    scale = scales[image]
    boxes = objects.boxes[~objects.crowd] * scale[:, [1, 0, 1, 0]]
    iou, best, finest = (np.full(len(image), np.nan) for _ in range(3))
    sizes, group = np.unique(inputs, axis=0, return_inverse=True)
    for number, (height, width) in enumerate(sizes.tolist()):
        chosen = np.flatnonzero(group.ravel()[image] == number)
        grids = lay_anchors((height, width)) if len(chosen) else ()
        if grids:
            iou[chosen], best[chosen] = find_best(boxes[chosen], grids)
            finest[chosen] = min(grid.stride for grid in grids)
    shrunk = original_sizes(annotations) * np.sqrt(scale.prod(axis=1))
    return Prospects(shrunk, iou, finest, best, positive_iou)


def tabulate(prospects: Prospects, edges: Sequence[float]) -> list[SizeRow]:
    """A row for each bin of sizes, the last open to infinity, and one for all objects.

    Args:
        edges: ascending, in network pixels. Objects below the first are in the last row alone.
    """
    bounds = [*map(float, edges), math.inf]
    pairs = [*pairwise(bounds), (0.0, math.inf)]
    return [_row(prospects, low, high) for low, high in pairs]


def share_sizes(sizes: Floats) -> list[float]:
    """Share of the objects that are small, medium and large in COCO's bins [from, to)."""
    counts = np.histogram(sizes, bins=COCO_EDGES)[0]
    return [count / len(sizes) if len(sizes) else math.nan for count in counts.tolist()]


def _image_of(annotations: Annotations) -> NDArray[np.int64]:
    """(n,) index of the image that each object lies in, crowds left out."""
    images = np.repeat(np.arange(len(annotations.images)), np.diff(annotations.offsets))
    return np.asarray(images[~annotations.objects.crowd])


def _row(prospects: Prospects, low: float, high: float) -> SizeRow:
    chosen = (prospects.sizes >= low) & (prospects.sizes < high)
    iou, area = prospects.best_iou[chosen], prospects.sizes[chosen] ** 2
    limit = prospects.positive_iou
    return SizeRow(
        low,
        high,
        int(chosen.sum()),
        float(chosen.mean()) if len(chosen) else math.nan,
        _share(iou, COVERED_IOU),
        math.nan if limit is None else _share(iou, limit),
        _median(iou),
        _median(area / prospects.finest_stride[chosen] ** 2),
        _median(area / prospects.best_stride[chosen] ** 2),
    )


def _share(iou: Floats, limit: float) -> float:
    known = iou[~np.isnan(iou)]
    return float((known >= limit).mean()) if len(known) else math.nan


def _median(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else math.nan
