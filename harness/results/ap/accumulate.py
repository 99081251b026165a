"""Precision and recall with weighted images: the figures of many resamples from one matching.

Definition: COCOeval.accumulate of pycocotools. A weight of 2 counts an image twice, as if its
copy followed it. Along the detections of a class in order of score, three things are needed,
and only at the true positives: recall, precision, and how many of the 101 recall points lie between
one true positive and the next. Which detections count is the same at all IoU thresholds but for the
few that may match something; the others are summed once.

Equal scores within an image and class stay in their order, all copies of one before the next; a
set with real copies interleaves them, and its figures may differ in the fourth digit.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from harness.results.ap.boxes import Bools, Floats, Ints, Scene, Weights
from harness.results.ap.matching import IOU_THRESHOLDS, Matches

RECALL_POINTS = np.linspace(0.0, 1.0, 101)
IOU_50, IOU_75 = 0, 5
EPS = np.spacing(1.0)  # pycocotools adds it to the denominator
_CELLS = 100_000  # of a (resamples, detections) array in work at a time: fits the cache

Reach = Callable[[NDArray[np.int32]], NDArray[np.int8]]


@dataclass(frozen=True, eq=False)
class ClassFigures:
    """AP of every class in every resample; NaN where the resample has no object of the class.

    Attributes:
        mean: (resamples, categories) over all IoU thresholds.
        at: index of an IoU threshold -> (resamples, categories).
    """

    mean: Floats
    at: Mapping[int, Floats]


@dataclass(frozen=True, eq=False)
class _Class:
    """What one class brings into the sums.

    Attributes:
        base: (b,) images of the detections of a fitting area, best score first.
        image: (m,) images of the detections that may match, in the same order.
        below: (m,) how many of the base stand up to and with each of them.
        hit: (10, m) true positives.
        change: (10, m) +1 where a detection counts though its own area does not fit, -1 where it
            is ignored though it would.
    """

    base: Ints
    image: Ints
    below: Ints
    hit: Bools
    change: NDArray[np.int32]


def measure_ap(
    scene: Scene,
    matches: Sequence[Matches],
    weights: Weights,
    workers: int = 1,
    thresholds: Sequence[int] = (IOU_50, IOU_75),
) -> list[ClassFigures]:
    """AP of each class under each row of weights, one result for each range of areas.

    Args:
        matches: of the ranges.
        weights: (resamples, images in the order of ascending ids), not negative.
        workers: threads.
        thresholds: indices of IoU thresholds whose own AP is asked for beside the mean.
    """
    shape = len(matches), 1 + len(thresholds), len(weights), scene.categories
    figures = np.full(shape, np.nan)
    objects = [count_objects(scene, m, weights) for m in matches]

    def measure(category: int) -> None:
        for number, found in enumerate(matches):
            counts = objects[number][:, category]
            if counts.any():
                part = _select(scene, found, category)
                figures[number, :, :, category] = _class_ap(part, counts, weights, thresholds)

    # the largest first, so that no thread is left alone with it at the end
    sizes = np.bincount(scene.detections.category, minlength=scene.categories)
    _call_each(measure, np.argsort(-sizes).tolist(), workers)
    return [ClassFigures(part[0], dict(zip(thresholds, part[1:], strict=True))) for part in figures]


def measure_recall(scene: Scene, found: Matches, weights: Weights, max_detections: int) -> Floats:
    """(resamples, categories) highest recall, mean over IoU thresholds; NaN without objects."""
    kept = scene.detections.rank[found.detection] < max_detections
    hits = (found.hit & kept).sum(axis=0)
    image, category = scene.detections.image, scene.detections.category
    total = _sum(scene, image[found.detection], category[found.detection], hits)
    objects = count_objects(scene, found, weights)
    recall: Floats = _weigh(weights, total) / (
        len(IOU_THRESHOLDS) * np.where(objects > 0, objects, np.nan)
    )
    return recall


def count_objects(scene: Scene, found: Matches, weights: Weights) -> Ints:
    """(resamples, categories) objects that count."""
    image, category = scene.objects.image[found.targets], scene.objects.category[found.targets]
    return _weigh(weights, _sum(scene, image, category, 1)).astype(np.int64)


def precision_table(scene: Scene, found: Matches) -> Floats:
    """Precision at the recall points with every image once; NaN without objects.

    Returns:
        (10, 101, categories).
    """
    ones = np.ones((1, scene.images), np.int32)
    counts = count_objects(scene, found, ones)
    table = np.full((len(IOU_THRESHOLDS), len(RECALL_POINTS), scene.categories), np.nan)
    for category in np.flatnonzero(counts[0]):
        part = _select(scene, found, int(category))
        reached, base = _tabulate(counts[:, category]), _count_base(part, ones)
        for threshold in range(len(IOU_THRESHOLDS)):
            true, envelope = _envelope(part, threshold, base, ones)
            steps = np.diff(reached.at(true, slice(None))[0], prepend=0)
            row = np.repeat(envelope[0], steps)
            table[threshold, :, category] = np.pad(row, (0, len(RECALL_POINTS) - len(row)))
    return table


def mean_over_classes(values: Floats) -> Floats:
    """Mean along the last axis over the classes that have ground truth; NaN when none has."""
    there = ~np.isnan(values)
    number = there.sum(axis=-1)
    total = np.where(there, values, 0.0).sum(axis=-1)
    mean: Floats = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    return mean


def _call_each(function: Callable[[int], None], arguments: list[int], workers: int) -> None:
    if workers == 1:
        for argument in arguments:
            function(argument)
        return
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(function, arguments))  # a list, so that errors come through


def _class_ap(part: _Class, objects: Ints, weights: Weights, thresholds: Sequence[int]) -> Floats:
    """(mean, then each of the thresholds) x resamples of one class in one range."""
    result = np.empty((1 + len(thresholds), len(weights)))
    reached = _tabulate(objects)
    rows = max(1, _CELLS // max(len(part.base), len(part.image), 1))
    for start in range(0, len(weights), rows):
        chosen = slice(start, start + rows)
        aps = _thresholds_ap(part, weights[chosen], partial(reached.at, rows=chosen))
        result[0, chosen], result[1:, chosen] = aps.mean(axis=0), aps[list(thresholds)]
    result[:, objects == 0] = np.nan
    return result


def _thresholds_ap(part: _Class, weights: Weights, reach: Reach) -> Floats:
    """(10, resamples) AP at each IoU threshold."""
    base = _count_base(part, weights)
    result = np.zeros((len(part.hit), len(weights)))
    for threshold, hit in enumerate(part.hit):
        if hit.any():
            true, envelope = _envelope(part, threshold, base, weights)
            steps = np.diff(reach(true), axis=1, prepend=np.int8(0)).astype(float)
            result[threshold] = np.einsum("rk,rk->r", envelope, steps) / len(RECALL_POINTS)
    return result


def _count_base(part: _Class, weights: Weights) -> NDArray[np.int32]:
    """(resamples, m) weight of the base up to each detection that may match."""
    counted = np.zeros((len(weights), len(part.base) + 1), np.int32)
    np.cumsum(weights.take(part.base, axis=1), axis=1, dtype=np.int32, out=counted[:, 1:])
    return counted.take(part.below, axis=1)


def _envelope(
    part: _Class, threshold: int, base: NDArray[np.int32], weights: Weights
) -> tuple[NDArray[np.int32], Floats]:
    """(resamples, k) each: true positives so far and the highest precision from there on."""
    hits = np.flatnonzero(part.hit[threshold])
    true = np.cumsum(weights.take(part.image[hits], axis=1), axis=1, dtype=np.int32)
    counted = base.take(hits, axis=1)
    changed = np.flatnonzero(part.change[threshold])
    if len(changed):
        change = np.zeros((len(weights), len(changed) + 1), np.int32)
        weighed = weights.take(part.image[changed], axis=1) * part.change[threshold, changed]
        np.cumsum(weighed, axis=1, dtype=np.int32, out=change[:, 1:])
        counted += change.take(np.searchsorted(changed, hits, side="right"), axis=1)
    precision = true / (counted + EPS)
    backwards = precision[:, ::-1]
    np.maximum.accumulate(backwards, axis=1, out=backwards)
    return true, precision


@dataclass(frozen=True, eq=False)
class _PointsReached:
    """How many recall points r fulfil r <= true positives / objects, by numpy's own comparison.

    Attributes:
        table: (numbers of objects that occur, true positives), flat.
        row: (resamples,) where the row of each resample starts in it.
    """

    table: NDArray[np.int8]
    row: Ints

    def at(self, true: NDArray[np.int32], rows: slice) -> NDArray[np.int8]:
        """(resamples, k) for as many true positives of some of the resamples."""
        return self.table.take(true + self.row[rows, None])


def _tabulate(objects: Ints) -> _PointsReached:
    numbers, row = np.unique(np.maximum(objects, 1), return_inverse=True)
    width = int(numbers[-1]) + 1
    recall = np.arange(width) / numbers[:, None]
    table = np.searchsorted(RECALL_POINTS, recall, side="right").astype(np.int8)
    return _PointsReached(table.ravel(), row * width)


def _select(scene: Scene, found: Matches, category: int) -> _Class:
    detections = scene.detections
    start, stop = np.searchsorted(detections.category, [category, category + 1])
    first, last = np.searchsorted(found.detection, [start, stop])
    at = found.detection[first:last]
    inside = found.inside[start:stop]
    hit, ignored = found.hit[:, first:last], found.ignored[:, first:last]
    # what hits nothing at any threshold only lengthens the arrays
    some = (hit | ignored).any(axis=0)
    at, hit, ignored = at[some], hit[:, some], ignored[:, some]
    fits = found.inside[at]
    return _Class(
        base=detections.image[start:stop][inside],
        image=detections.image[at],
        below=np.cumsum(inside)[at - start],
        hit=hit,
        change=(hit & ~fits).astype(np.int32) - (ignored & fits),
    )


def _sum(scene: Scene, image: Ints, category: Ints, values: Ints | int) -> Floats:
    """(images, categories) sums."""
    table = np.zeros((scene.images, scene.categories))
    np.add.at(table, (image, category), values)
    return table


def _weigh(weights: Weights, table: Floats) -> Floats:
    """(resamples, categories): sums over images; whole numbers, so exact."""
    return np.rint(weights.astype(np.float64) @ table)
