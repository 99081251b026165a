"""Images by the objects that a detector misses in them: where to look first."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from harness.data.boxes import COCO_AREAS
from harness.results.ap.boxes import Bools, Ints, build_scene, mark
from harness.results.ap.matching import find_pairs, match_once
from harness.results.ap.types import Misses
from harness.stages.inputs import EvaluationInput

SMALL_AREA = COCO_AREAS["small"][1]
SCORE_THRESHOLD = 0.3  # what `harness predict` draws from


def find_misses(
    given: EvaluationInput, score_threshold: float = SCORE_THRESHOLD
) -> tuple[Misses, ...]:
    """Every image that has objects; most missed small ones first, then most missed, then by id.

    An object is found when a detection of its class reaches the score threshold and overlaps it
    with IoU 0.5 or more. Detections are matched as pycocotools does it, best score first, each
    to one object; one that lies in a crowd finds nothing.

    Args:
        score_threshold: detections with a lower score find nothing.
    """
    kept = tuple(d for d in given.detections if d["score"] >= score_threshold)
    scene = build_scene(replace(given, detections=kept))
    targets = ~scene.objects.crowd
    found = mark(match_once(scene, find_pairs(scene), targets), len(targets))
    small = scene.objects.area < SMALL_AREA

    def count(which: Bools) -> Ints:
        return np.bincount(scene.objects.image[which & targets], minlength=scene.images)

    columns = {
        "missed": count(~found),
        "small": count(~found & small),
        "objects": count(targets),
        "small_objects": count(small),
    }
    ids = sorted(given.ground_truth.image_ids)
    rows = [_row(ids[n], columns, n) for n in np.flatnonzero(columns["objects"]).tolist()]
    return tuple(sorted(rows, key=lambda row: (-row.small, -row.missed, row.image_id)))


def _row(image_id: int, columns: Mapping[str, Ints], index: int) -> Misses:
    return Misses(image_id, **{name: int(column[index]) for name, column in columns.items()})
