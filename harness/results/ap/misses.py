"""The objects that a detector misses, by image: where to look first."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from harness.data.boxes import COCO_AREAS
from harness.results.ap.boxes import Bools, Scene, mark
from harness.results.ap.matching import find_pairs, match_once
from harness.results.ap.types import Misses

SMALL_AREA = COCO_AREAS["small"][1]
SCORE_THRESHOLD = 0.3  # what `harness predict` draws from


def find_misses(
    scene: Scene, image_ids: Sequence[int], score_threshold: float = SCORE_THRESHOLD
) -> tuple[Misses, ...]:
    """Of every image that has objects, by ascending id.

    An object is found when a detection of its class reaches the score threshold and overlaps it
    with IoU 0.5 or more. Detections are matched as pycocotools does it, best score first, each
    to one object; one that lies in a crowd finds nothing.

    Args:
        image_ids: those of the scene, ascending.
        score_threshold: detections with a lower score find nothing.
    """
    scene = replace(scene, detections=scene.detections.above(score_threshold))
    targets = ~scene.objects.crowd
    found = mark(match_once(scene, find_pairs(scene), targets), len(targets))
    small = scene.objects.area < SMALL_AREA

    def count(which: Bools) -> list[int]:
        per_image = np.bincount(scene.objects.image[which & targets], minlength=scene.images)
        return [int(number) for number in per_image]

    counts = zip(count(targets), count(~found), count(~found & small), strict=True)
    return tuple(
        Misses(image, missed, of_small)
        for image, (objects, missed, of_small) in zip(image_ids, counts, strict=True)
        if objects
    )
