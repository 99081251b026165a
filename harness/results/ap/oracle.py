"""AP50 as pycocotools has it, of detections as they are and as fixed (TIDE, section 2.3).

A detection with a wrong class or box is set right; where its object then has several, all but
the best are taken out. Other false positives are taken out. Missed objects are no longer asked for;
a class of which nothing is left to find has AP 1 without false positives and 0 with them.
"""

from dataclasses import dataclass, replace

import numpy as np

from harness.results.ap.accumulate import interpolate
from harness.results.ap.boxes import Bools, Ints, Scene


@dataclass(frozen=True, eq=False)
class Ranked:
    """Detections matched at IoU 0.5 within one range of areas, by class, score (best first), image.

    Attributes:
        category: (n,) of each detection.
        place: (n,) of each among those of all classes, by score (best first), image.
        hit: (n,) the object that it found, -1 for none.
        counted: (n,) false where it is ignored or taken out.
        inside: (n,) whether its own area is in the range.
        targets: (g,) whether each object counts.
        object_category: (g,).
        objects: (categories,) how many have to be found.
        there: (categories,) whether the class has objects at all, fixed or not.
    """

    category: Ints
    place: Ints
    hit: Ints
    counted: Bools
    inside: Bools
    targets: Bools
    object_category: Ints
    objects: Ints
    there: Bools


def select(scene: Scene, matched: Ints, targets: Bools, inside: Bools) -> Ranked:
    """What counts in a range: ignored is what took an object that does not, or is outside it."""
    hits = np.append(targets, False)[matched]
    objects = np.bincount(scene.objects.category[targets], minlength=scene.categories)
    return Ranked(
        scene.detections.category,
        scene.detections.place,
        np.where(hits, matched, -1),
        hits | ((matched < 0) & inside),
        inside,
        targets,
        scene.objects.category,
        objects,
        objects > 0,
    )


def fix(
    ranked: Ranked,
    *,
    removed: Bools | None = None,
    target: Ints | None = None,
    forgiven: Bools | None = None,
) -> Ranked:
    """The same with some errors fixed.

    Args:
        removed: (n,) detections to take out.
        target: (n,) object that a detection is set right for, -1 for none.
        forgiven: (g,) objects that need not be found.
    """
    if removed is not None:
        ranked = replace(ranked, counted=ranked.counted & ~removed)
    if target is not None:
        ranked = _set_right(ranked, target)
    if forgiven is not None:
        gone = ranked.object_category[forgiven & ranked.targets]
        objects = ranked.objects - np.bincount(gone, minlength=len(ranked.objects))
        ranked = replace(ranked, objects=objects)
    return ranked


def _set_right(ranked: Ranked, target: Ints) -> Ranked:
    """Each object keeps the best of what found it and of what is set right for it."""
    hit = np.where(target >= 0, target, ranked.hit)
    claims = np.flatnonzero(hit >= 0)
    order = claims[np.lexsort((ranked.place[claims], hit[claims]))]
    second = order[1:][hit[order[1:]] == hit[order[:-1]]]
    counted = ranked.counted | (target >= 0)
    counted[second] = False
    category = ranked.category.copy()
    category[claims] = ranked.object_category[hit[claims]]
    # one key, in order but for what changed its class: a stable sort is quick with that
    order = np.argsort(category * len(category) + ranked.place, kind="stable")
    return replace(
        ranked,
        category=category[order],
        place=ranked.place[order],
        hit=hit[order],
        counted=counted[order],
        inside=ranked.inside[order],
    )


def mean_ap50(ranked: Ranked) -> float:
    """Mean over the classes that have objects; NaN when none has."""
    kept = np.flatnonzero(ranked.counted)
    classes = np.flatnonzero(ranked.there)
    if not len(classes):
        return np.nan
    bounds = np.searchsorted(ranked.category[kept], [classes, classes + 1])
    true = ranked.hit[kept] >= 0
    values = [
        class_ap50(true[start:stop], int(ranked.objects[category]))
        for category, start, stop in zip(classes, *bounds, strict=True)
    ]
    return float(np.mean(values))


def class_ap50(true: Bools, objects: int) -> float:
    """Mean precision at COCO's 101 recall points.

    Args:
        true: (n,) whether each detection is a true positive, best score first.
        objects: to be found.
    """
    if objects == 0:
        return float(true.all())
    return float(interpolate(np.flatnonzero(true) + 1, objects).mean())
