"""The objects that a detector misses, by image: where to look first."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from harness.data.boxes import COCO_AREAS
from harness.results.ap.boxes import Bools, Ints, Scene, mark
from harness.results.ap.matching import find_pairs, match_once
from harness.results.ap.types import Misses

SMALL_AREA = COCO_AREAS["small"][1]
SCORE_THRESHOLD = 0.3  # what `harness predict` draws from


def match_sure(scene: Scene, score_threshold: float = SCORE_THRESHOLD) -> tuple[Scene, Ints, Bools]:
    """Match the detections from a score on as pycocotools does it, best score first.

    Returns:
        the scene with these detections; (n,) the object of each, -1 for none; (g,) the objects
        that one of them found.
    """
    sure = replace(scene, detections=scene.detections.above(score_threshold))
    matched = match_once(sure, find_pairs(sure), ~sure.objects.crowd)
    return sure, matched, mark(matched, len(sure.objects.crowd))


def find_misses(
    scene: Scene, image_ids: Sequence[int], score_threshold: float = SCORE_THRESHOLD
) -> tuple[Misses, ...]:
    """Of every image that has objects, by ascending id.

    An object is found when a detection of its class reaches the score threshold and overlaps it
    with IoU 0.5 or more. Each detection is matched to one object (`match_sure`); one that lies in a
    crowd finds nothing.

    Args:
        image_ids: those of the scene, ascending.
        score_threshold: detections with a lower score find nothing.
    """
    _, _, found = match_sure(scene, score_threshold)
    targets = ~scene.objects.crowd
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
