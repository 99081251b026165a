"""Matching of detections to ground truth as pycocotools does it, once for all resamples.

Definition: COCOeval.evaluateImg of pycocotools (https://cocodataset.org/#detection-eval). Each
detection of a class in an image, best score first, takes the object of the highest IoU that is
still free; objects outside the area range and crowds are taken only when nothing else is left, and
what takes them is ignored. A crowd can be taken many times.

Only pairs with an IoU of at least 0.5 can match. They are sorted in the order of preference of
their detection, which is the same at all thresholds: the match is the first pair that is high
enough and free. All images and classes go on together, rank by rank.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness.results.ap.boxes import Bools, Floats, Ints, Scene, in_blocks, mark
from harness.results.ap.ranges import AreaRange

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
# pycocotools: a threshold of 1 has to be reachable
_LIMITS = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Detections and objects that overlap with IoU >= 0.5, by rank, detection and preference.

    Attributes:
        detection, object: (p,) indices.
        iou: (p,).
        rank: (p,) of the detection.
    """

    detection: Ints
    object: Ints
    iou: Floats
    rank: Ints


@dataclass(frozen=True, eq=False)
class Matches:
    """What each detection matched, for one range of areas.

    Attributes:
        detection: (m,) ascending indices of the detections that have any pair.
        hit: (10, m) whether it matched an object that counts, at each IoU threshold.
        ignored: (10, m) whether it matched an object that does not count.
        inside: (n,) whether each detection's own area is in the range.
        targets: (g,) whether each object counts.
    """

    detection: Ints
    hit: Bools
    ignored: Bools
    inside: Bools
    targets: Bools


def find_pairs(scene: Scene) -> Pairs:
    """Every detection with the objects of its class and image that it may match."""
    objects, detections = scene.objects, scene.detections
    groups = objects.image * scene.categories + objects.category
    sought = detections.image * scene.categories + detections.category
    first = np.searchsorted(groups, sought, side="left")
    count = np.searchsorted(groups, sought, side="right") - first
    found = [_overlapping(scene, *block) for block in in_blocks(first, count)]
    detection, item, iou = (
        np.concatenate([part[n] for part in found]) if found else np.zeros(0, kind)
        for n, kind in enumerate((np.int64, np.int64, np.float64))
    )
    rank = scene.detections.rank[detection]
    # equal IoU: pycocotools goes on to the later object
    order = np.lexsort((-item, -iou, detection, rank))
    return Pairs(detection[order], item[order], iou[order], rank[order])


def match(scene: Scene, pairs: Pairs, area: AreaRange) -> Matches:
    """Match for one range of areas."""
    targets, inside = area.divide(scene)
    chosen = _choose(scene, pairs, targets, _LIMITS)
    candidates = np.flatnonzero(mark(pairs.detection, chosen.shape[1]))
    matched = chosen[:, candidates]
    counts = np.append(targets, False)[matched]  # -1 finds the last
    return Matches(candidates, counts, (matched >= 0) & ~counts, inside, targets)


def match_once(scene: Scene, pairs: Pairs, targets: Bools) -> Ints:
    """(n,) object that each detection takes at IoU 0.5, -1 for none.

    Args:
        targets: (g,) objects that count; others are taken when nothing else is left.
    """
    return np.asarray(_choose(scene, pairs, targets, _LIMITS[:1])[0])


def _choose(scene: Scene, pairs: Pairs, targets: Bools, limits: Floats) -> Ints:
    """(limits, n) object that each detection takes at each IoU, -1 for none."""
    objects = scene.objects
    chosen = np.full((len(limits), len(scene.detections.image)), -1, np.int64)
    taken = np.zeros((len(limits), len(objects.image)), bool)
    for step in _steps(pairs, ~targets):
        detection, item, iou = pairs.detection[step], pairs.object[step], pairs.iou[step]
        starts = np.flatnonzero(np.diff(detection, prepend=-1))
        free = (iou >= limits[:, None]) & ~taken[:, item]
        first = np.minimum.reduceat(np.where(free, np.arange(len(step)), len(step)), starts, axis=1)
        best = np.append(item, -1)[first]
        chosen[:, detection[starts]] = best
        threshold, at = np.nonzero((best >= 0) & ~np.append(objects.crowd, False)[best])
        taken[threshold, best[threshold, at]] = True
    return chosen


def _steps(pairs: Pairs, ignored: Bools) -> Iterator[Ints]:
    """Pairs of each rank, those with objects that do not count after the others."""
    position = np.cumsum(np.diff(pairs.detection, prepend=-1) != 0)
    order = np.argsort(2 * position + ignored[pairs.object], kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(pairs.rank)) + 1) if len(order) else ()


def _overlapping(scene: Scene, detection: Ints, item: Ints) -> tuple[Ints, Ints, Floats]:
    """Those of these pairs that overlap enough."""
    objects = scene.objects
    iou = measure_iou(scene.detections.box[detection], objects.box[item], objects.crowd[item])
    kept = iou >= _LIMITS[0]
    return detection[kept], item[kept], iou[kept]


def measure_iou(detection: Floats, truth: Floats, crowd: Bools) -> Floats:
    """IoU of pairs of boxes; of a crowd, the share of the detection that lies in it.

    The order of operations is that of pycocotools' bbIou, as a tie may hang on the last digit.

    Args:
        detection, truth: (p, 4) xywh, or one of them (1, 4).
        crowd: as `truth`.
    """
    ends = np.minimum(detection[:, :2] + detection[:, 2:], truth[:, :2] + truth[:, 2:])
    sides = ends - np.maximum(detection[:, :2], truth[:, :2])
    apart = (sides <= 0).any(axis=1)
    shared = np.where(apart, 0.0, sides[:, 0] * sides[:, 1])
    area, other = detection[:, 2] * detection[:, 3], truth[:, 2] * truth[:, 3]
    whole = np.where(crowd, area, area + other - shared)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=~apart)
