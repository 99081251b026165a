"""Precision and recall with weighted images: the figures of many resamples from one matching.

Definition: COCOeval.accumulate of pycocotools. A weight of 2 counts an image twice, as if its
copy followed it. Along the detections of a class in order of score, three things are needed,
and only at the true positives: recall, precision, and how many of the 101 recall points lie between
one true positive and the next. Which detections count is the same at all IoU thresholds but for the
few that may match something; the others are summed once.

Equal scores within an image and class stay in their order, all copies of one before the next; a
set with real copies interleaves them, and its figures may differ in the fourth digit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.results.ap.boxes import Bools, Floats, Ints, Scene, Weights
from harness.results.ap.matching import IOU_THRESHOLDS, Matches

if TYPE_CHECKING:
    from torch import Tensor

RECALL_POINTS = np.linspace(0.0, 1.0, 101)
IOU_50, IOU_75 = 0, 5
EPS = np.spacing(1.0)  # pycocotools adds it to the denominator


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
    change: NDArray[np.int8]


def measure_ap(
    scene: Scene,
    matches: Sequence[Matches],
    weights: Weights,
    thresholds: Sequence[int] = (IOU_50, IOU_75),
) -> list[ClassFigures]:
    """AP of each class under each row of weights, one result for each range of areas.

    Args:
        matches: of the ranges.
        weights: (resamples, images in the order of ascending ids), not negative.
        thresholds: indices of IoU thresholds whose own AP is asked for beside the mean.
    """
    import torch

    from harness.ops.resampled_ap import pack_weights

    packed = pack_weights(torch.from_numpy(np.ascontiguousarray(weights, np.int32)))
    result = []
    for found in matches:
        figures = np.full((1 + len(thresholds), len(weights), scene.categories), np.nan)
        objects = count_objects(scene, found, weights)
        for category in np.flatnonzero(objects.any(axis=0)).tolist():
            counts = objects[:, category]
            aps = _class_ap(_select(scene, found, category), counts, packed)
            aps[:, counts == 0] = np.nan
            figures[0, :, category] = aps.mean(axis=0)
            figures[1:, :, category] = aps[list(thresholds)]
        result.append(ClassFigures(figures[0], dict(zip(thresholds, figures[1:], strict=True))))
    return result


def _class_ap(part: _Class, objects: Ints, packed: "Tensor") -> Floats:
    """(10, resamples) AP of one class in one range at each IoU threshold."""
    import torch

    from harness.ops.resampled_ap import resampled_ap

    points, row = _tabulate(objects)
    row = np.pad(row, (0, len(packed) * packed.shape[2] - len(row)))
    arrays = (points, row, part.base, part.image, part.below, part.hit, part.change)
    tensors = (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
    result: Floats = resampled_ap(packed, *tensors)[:, : len(objects)].numpy()
    return result


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
    counts = count_objects(scene, found, np.ones((1, scene.images), np.int32))[0]
    table = np.full((len(IOU_THRESHOLDS), len(RECALL_POINTS), scene.categories), np.nan)
    for category in np.flatnonzero(counts):
        part = _select(scene, found, int(category))
        counted = part.below + np.cumsum(part.change, axis=1)
        for threshold, hits in enumerate(map(np.flatnonzero, part.hit)):
            at_hits = counted[threshold, hits]
            table[threshold, :, category] = interpolate(at_hits, int(counts[category]))
    return table


def interpolate(counted: Ints, objects: int) -> Floats:
    """(101,) precision of one class at the recall points.

    Args:
        counted: (t,) detections that count up to and with each true positive, best score first.
        objects: to be found, at least one.
    """
    true = np.arange(1, len(counted) + 1)
    envelope = np.maximum.accumulate((true / (counted + EPS))[::-1])[::-1]
    at = np.searchsorted(true / objects, RECALL_POINTS, side="left")
    return np.asarray(np.append(envelope, 0.0)[np.minimum(at, len(counted))])


def mean_over_classes(values: Floats) -> Floats:
    """Mean along the last axis over the classes that have ground truth; NaN when none has."""
    there = ~np.isnan(values)
    number = there.sum(axis=-1)
    total = np.where(there, values, 0.0).sum(axis=-1)
    mean: Floats = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    return mean


def _tabulate(objects: Ints) -> tuple[NDArray[np.int8], Ints]:
    """How many recall points r fulfil r <= true positives / objects, by numpy's own comparison.

    Returns:
        tables of 0, 1, 2 ... true positives, one for each number of objects that occurs, and where
        that of each resample starts in them.
    """
    numbers, row = np.unique(np.maximum(objects, 1), return_inverse=True)
    width = int(numbers[-1]) + 1
    recall = np.arange(width) / numbers[:, None]
    guess = np.minimum(recall * 100, 100).astype(np.int8)  # of the last one; may be one too many
    points = np.append(RECALL_POINTS, np.inf)
    table = guess + (points[guess] <= recall) + (points[guess + 1] <= recall)
    return table.ravel(), row * width


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
        change=(hit & ~fits).astype(np.int8) - (ignored & fits),
    )


def _sum(scene: Scene, image: Ints, category: Ints, values: Ints | int) -> Floats:
    """(images, categories) sums."""
    table = np.zeros((scene.images, scene.categories))
    np.add.at(table, (image, category), values)
    return table


def _weigh(weights: Weights, table: Floats) -> Floats:
    """(resamples, categories): sums over images; whole numbers below 2^24, so exact."""
    return (weights.astype(np.float32) @ table.astype(np.float32)).astype(np.float64)
