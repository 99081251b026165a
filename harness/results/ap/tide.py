"""The six kinds of error of TIDE, and the AP50 that each costs.

Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors",
https://arxiv.org/abs/2008.08115, sections 2.2 (kinds) and 2.3 (fixes, `oracle.py`).

A false positive is what pycocotools counts as one at IoU 0.5: a detection that matched neither an
object nor a crowd. It has one kind. Where the definitions of several fit, its own class decides
first: duplicate (IoU >= 0.5 with an object of its class, which another detection took),
localisation (0.1 <= IoU < 0.5), classification (IoU >= 0.5 with an object of another class), both
(0.1 <= IoU < 0.5), background (less with everything). An object is missed that no detection took
and that no classification or localisation error belongs to. Crowds are nobody's nearest object.

Sizes are COCO's by the annotation's `area`: an error is of the size of its nearest object, a missed
object of its own, a background error of its own box. An area of exactly 32x32 is small and medium,
as in COCO, so that such an error is counted in both. The cost within a size is that of fixing its
errors alone, in COCO's AP50 of that size, where objects of another size are ignored.
"""

from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from harness.results.ap.boxes import Bools, Floats, Ints, Scene, in_blocks, mark
from harness.results.ap.matching import find_pairs, match_once, measure_iou
from harness.results.ap.oracle import Ranked, fix, mean_ap50, select
from harness.results.ap.ranges import COCO_RANGES
from harness.results.ap.types import ErrorKind, ErrorName

FOREGROUND_IOU, BACKGROUND_IOU = 0.5, 0.1
NAMES: tuple[ErrorName, ...] = get_args(ErrorName)


@dataclass(frozen=True, eq=False)
class Errors:
    """What is wrong with each detection and object of a scene.

    Attributes:
        kind: (n,) index into `NAMES` of each detection, -1 where it is not an error.
        nearest: (n,) the object that an error belongs to, -1 for background and for no error.
        missed: (g,) whether each object is missed.
    """

    kind: NDArray[np.int8]
    nearest: Ints
    missed: Bools

    def of(self, name: ErrorName) -> Bools:
        """(n,) whether each detection has this error."""
        return np.asarray(self.kind == NAMES.index(name))


def measure_errors(scene: Scene) -> tuple[ErrorKind, ...]:
    """Number and cost of each kind, in the order of `ErrorName`.

    The cost is pycocotools' AP50 after fixing that kind alone minus AP50 as it is, 0..1; NaN
    where there is no object that counts. Costs of several kinds do not add up.
    """
    pairs = find_pairs(scene)
    evaluated = {}
    for size, area in COCO_RANGES.items():
        targets, inside = area.divide(scene)
        evaluated[size] = select(scene, match_once(scene, pairs, targets), targets, inside)
    errors = classify(scene, evaluated["all"])
    costs = {size: _costs(ranked, errors) for size, ranked in evaluated.items()}
    counts = {size: _counts(ranked, errors) for size, ranked in evaluated.items()}
    kinds = []
    for name in NAMES:
        by_size = {size: (counts[size][name], costs[size][name]) for size in evaluated}
        kinds.append(ErrorKind(name, *by_size.pop("all"), by_size))
    return tuple(kinds)


def classify(scene: Scene, ranked: Ranked) -> Errors:
    """The kind of every false positive, and the missed objects.

    Args:
        ranked: matched with no regard to sizes.
    """
    wrong = np.flatnonzero(ranked.counted & (ranked.hit < 0))
    own, other = _find_nearest(scene, wrong, ranked.targets)
    choices = [
        own.iou >= FOREGROUND_IOU,
        own.iou >= BACKGROUND_IOU,
        other.iou >= FOREGROUND_IOU,
        other.iou >= BACKGROUND_IOU,
    ]
    names: list[ErrorName] = ["duplicate", "localisation", "classification", "both"]
    kind = np.full(len(ranked.hit), -1, np.int8)
    background = NAMES.index("background")
    kind[wrong] = np.select(choices, [NAMES.index(name) for name in names], background)
    nearest = np.full(len(ranked.hit), -1, np.int64)
    nearest[wrong] = np.select(choices, [own.item, own.item, other.item, other.item], -1)
    covered = mark(ranked.hit, len(scene.objects.image))
    covered[nearest[np.isin(kind, [NAMES.index(name) for name in names[1:3]])]] = True
    return Errors(kind, nearest, ranked.targets & ~covered)


@dataclass(frozen=True, eq=False)
class _Nearest:
    """For each of some detections the object of the highest IoU, the first of equal ones.

    Attributes:
        item: (k,) index of the object, -1 where nothing overlaps.
        iou: (k,) 0 where nothing overlaps.
    """

    item: Ints
    iou: Floats


def _find_nearest(scene: Scene, chosen: Ints, targets: Bools) -> tuple[_Nearest, _Nearest]:
    """The nearest objects of the own class and of any other class.

    Args:
        chosen: (k,) indices of detections.
        targets: (g,) which objects are looked at.
    """
    objects, detections, kept = scene.objects, scene.detections, np.flatnonzero(targets)
    images, image = objects.image[kept], detections.image[chosen]  # of objects ascending
    first = np.searchsorted(images, image, side="left")
    count = np.searchsorted(images, image, side="right") - first
    own, other = (_Nearest(np.full(len(chosen), -1), np.zeros(len(chosen))) for _ in range(2))
    for row, place in in_blocks(first, count):
        item, detection = kept[place], chosen[row]
        starts = np.flatnonzero(np.diff(row, prepend=-1))
        rows = row[starts]
        iou = measure_iou(detections.box[detection], objects.box[item], objects.crowd[item])
        same = detections.category[detection] == objects.category[item]
        for result, fits in ((own, same), (other, ~same)):
            masked = np.where(fits, iou, 0.0)
            best = np.maximum.reduceat(masked, starts)
            at = np.where(masked == np.repeat(best, count[rows]), np.arange(len(item)), len(item))
            result.item[rows] = np.where(best > 0, item[np.minimum.reduceat(at, starts)], -1)
            result.iou[rows] = best
    return own, other


def _counts(ranked: Ranked, errors: Errors) -> dict[ErrorName, int]:
    """Errors whose nearest object, or own box on background, is of the size of `ranked`."""
    member = _members(ranked, errors)
    counts = {name: int(np.count_nonzero(member & errors.of(name))) for name in NAMES}
    return {**counts, "missed": int(np.count_nonzero(errors.missed & ranked.targets))}


def _members(ranked: Ranked, errors: Errors) -> Bools:
    """(n,) errors of that size."""
    of_object = np.append(ranked.targets, False)[errors.nearest]  # -1 finds the last
    return np.where(errors.of("background"), ranked.inside, of_object & (errors.kind >= 0))


def _costs(ranked: Ranked, errors: Errors) -> dict[ErrorName, float]:
    before = mean_ap50(ranked)
    # what is right at one size may be wrong with no regard to sizes, as matches differ
    member = _members(ranked, errors) & (ranked.hit < 0)
    costs = {}
    for name in NAMES:
        chosen = member & errors.of(name)
        match name:
            case "missed":
                found = mark(ranked.hit, len(ranked.targets))
                fixed = fix(ranked, forgiven=errors.missed & ~found)
            case "classification" | "localisation":
                fixed = fix(ranked, target=np.where(chosen, errors.nearest, -1))
            case _:
                fixed = fix(ranked, removed=chosen)
        costs[name] = mean_ap50(fixed) - before
    return costs
