"""Each fix carried out on the files themselves and scored by pycocotools: the same gain."""

from typing import Any

import numpy as np
import pytest
from one_image import scored

from harness.results.ap.boxes import Scene, build_scene
from harness.results.ap.matching import find_pairs, match_once
from harness.results.ap.oracle import Ranked, select
from harness.results.ap.tide import Errors, classify, measure_errors
from harness.stages.inputs import EvaluationInput

IMAGES, CLASSES = (1, 2, 3), (1, 2)


def draw(seed: int) -> EvaluationInput:
    """Crowded images, boxes of real numbers so that no two overlap equally."""
    rng = np.random.default_rng(seed)
    objects, detections = [], []
    for image in IMAGES:
        for _ in range(12):
            box = [*rng.uniform(0, 150, 2), *rng.uniform(10, 60, 2)]
            category = int(rng.choice(CLASSES))
            objects.append(
                {"image_id": image, "category_id": category, "bbox": box, "area": box[2] * box[3],
                 "iscrowd": int(rng.random() < 0.1)}
            )  # fmt: skip
            for _ in range(rng.integers(0, 4)):
                moved = np.array(box) + rng.normal(0, 0.15, 4) * np.tile(box[2:], 2)
                moved[2:] = np.maximum(moved[2:], 1.0)
                wrong = rng.random() < 0.25
                detections.append(
                    {"image_id": image, "category_id": 3 - category if wrong else category,
                     "bbox": moved.tolist(), "score": float(rng.random())}
                )  # fmt: skip
        for _ in range(4):
            box = [*rng.uniform(0, 200, 2), *rng.uniform(10, 30, 2)]
            detections.append(
                {"image_id": image, "category_id": 1, "bbox": box, "score": float(rng.random())}
            )
    return scored(objects, detections)


def ap50(objects: list[dict[str, Any]], detections: list[dict[str, Any]]) -> float:
    from harness_plugins.meters.coco_ap import IOU_50, accumulate

    return accumulate(scored(objects, detections), "pycocotools").ap(IOU_50)


def unpack(scene: Scene) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Objects and detections of a scene as files have them, in its order."""
    tables = []
    for boxes in (scene.objects, scene.detections):
        rows = zip(boxes.image, boxes.category, boxes.box, boxes.area, strict=True)
        tables.append(
            [
                {"image_id": IMAGES[i], "category_id": CLASSES[c], "bbox": b.tolist(), "area": a}
                for i, c, b, a in rows
            ]
        )
    for entry, crowd in zip(tables[0], scene.objects.crowd, strict=True):
        entry["iscrowd"] = int(crowd)
    for entry, value in zip(tables[1], scene.detections.score, strict=True):
        entry["score"] = float(value)
    return tables[0], tables[1]


def set_right(
    objects: list[dict[str, Any]],
    detections: list[dict[str, Any]],
    ranked: Ranked,
    errors: Errors,
    chosen: Any,
) -> list[dict[str, Any]]:
    """Chosen errors get class and box of their object; of several on one the best remains."""
    best: dict[int, int] = {}
    owner = np.where(chosen, errors.nearest, ranked.hit)
    for n in np.flatnonzero(owner >= 0):
        other = best.get(owner[n])
        if other is None or detections[n]["score"] > detections[other]["score"]:
            best[owner[n]] = n
    kept = []
    for n, detection in enumerate(detections):
        if owner[n] < 0:
            kept.append(detection)
        elif best[owner[n]] == n:
            right = objects[owner[n]] if chosen[n] else detection
            kept.append(
                {**detection, "category_id": right["category_id"], "bbox": right["bbox"]}
            )  # fmt: skip
    return kept


@pytest.mark.parametrize("seed", range(6))
def test_the_gain_is_that_of_pycocotools_on_mended_files(seed: int):
    given = draw(seed)
    scene = build_scene(given)
    wanted = ~scene.objects.crowd
    inside = np.ones(len(scene.detections.image), bool)
    ranked = select(scene, match_once(scene, find_pairs(scene), wanted), wanted, inside)
    errors = classify(scene, ranked)
    objects, detections = unpack(scene)
    before = ap50(objects, detections)
    for kind in measure_errors(build_scene(given)):
        chosen = errors.of(kind.name)
        corrected, left = detections, objects
        if kind.name == "missed":
            left = [o for o, missed in zip(objects, errors.missed, strict=True) if not missed]
        elif kind.name in ("classification", "localisation"):
            corrected = set_right(objects, detections, ranked, errors, chosen)
        else:
            corrected = [d for d, wrong in zip(detections, chosen, strict=True) if not wrong]
        assert kind.cost == pytest.approx(ap50(left, corrected) - before, abs=1e-9), kind.name
        assert kind.count > 0 or kind.name == "both"
