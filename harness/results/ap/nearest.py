"""The object of its own class and that of another class which a detection overlaps most."""

from dataclasses import dataclass

import numpy as np

from harness.results.ap.boxes import Bools, Floats, Ints, Scene, in_blocks
from harness.results.ap.matching import measure_iou


@dataclass(frozen=True, eq=False)
class Nearest:
    """For each of some detections the object of the highest IoU, the first of equal ones.

    Attributes:
        item: (k,) index of the object, -1 where nothing overlaps.
        iou: (k,) 0 where nothing overlaps.
    """

    item: Ints
    iou: Floats


def find_nearest(scene: Scene, chosen: Ints, targets: Bools) -> tuple[Nearest, Nearest]:
    """The nearest objects of the own class and of any other class.

    Args:
        chosen: (k,) indices of detections.
        targets: (g,) which objects are looked at.
    """
    kept = np.flatnonzero(targets)
    images = scene.objects.image[kept]  # ascending
    image = scene.detections.image[chosen]
    first = np.searchsorted(images, image, side="left")
    count = np.searchsorted(images, image, side="right") - first
    own, other = (Nearest(np.full(len(chosen), -1), np.zeros(len(chosen))) for _ in range(2))
    objects, detections = scene.objects, scene.detections
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
