"""Run folders on disk as a real run leaves them: plan, records, annotations, detections."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from making_sides import cell_of, lines_of, write_plan

from harness.plugin.catalog import Catalog
from harness.records import layout
from harness.records.measurement import Measurement
from harness.records.record import Record
from harness.records.store import write_records
from harness.results.run import known_metrics
from harness.stages.detections_file import write_detections
from harness.stages.scoring import evaluate
from harness_plugins.meters.coco_ap import CocoAp

IMAGES, OBJECTS, SIDE = 16, 3, 200
Measured = Mapping[tuple[str, int], list[Measurement]]


def write_run(
    folder: Path, measured: Measured, catalog: Catalog | None = None, **plan: Any
) -> Path:
    """A run of whatever was measured: (detector, seed) -> measurements of one stage."""
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[Record] = []
    for (detector, seed), measurements in measured.items():
        lines += lines_of(measurements, catalog, **cell_of(folder.name, detector, seed))
    write_records(folder, lines)
    detectors = list(dict.fromkeys(detector for detector, _ in measured))
    write_plan(folder, detectors, catalog or known_metrics(), **plan)
    return folder


def write_scored_run(folder: Path, skills: Mapping[tuple[str, int], float], **plan: Any) -> Path:
    """A run whose detections lie beside it: (detector, seed) -> share of objects found."""
    folder.mkdir(parents=True)
    annotations = _annotate(folder)
    lines = []
    for number, ((detector, seed), skill) in enumerate(skills.items()):
        file = layout.cell_folder(folder, detector, seed) / layout.DETECTIONS
        file.parent.mkdir(parents=True)
        write_detections(file, _detect(skill, number))
        scores = evaluate(annotations, file, [CocoAp()])
        cell = cell_of(folder.name, detector, seed, "evaluate")
        lines += lines_of(scores, **cell)
    write_records(folder, lines)
    images = folder / "images"
    images.mkdir()
    splits = {"val": {"images": str(images), "annotations": str(annotations)}}
    detectors = list(dict.fromkeys(detector for detector, _ in skills))
    report = {"resamples": 100, "size_bins": [0, 64]}
    write_plan(folder, detectors, known_metrics(), **{"splits": splits, "report": report, **plan})
    return folder


def _boxes() -> list[tuple[int, list[float]]]:
    """(image, box) of every object; the same in each run."""
    rng = np.random.default_rng(0)
    return [
        (image, [60.0 * place, float(rng.uniform(0, 100)), *rng.uniform(15, 50, 2).tolist()])
        for image in range(1, IMAGES + 1)
        for place in range(OBJECTS)
    ]


def _annotate(folder: Path) -> Path:
    boxes = _boxes()
    document = {
        "images": [
            {"id": n, "file_name": f"{n}.png", "width": SIDE, "height": SIDE}
            for n in range(1, IMAGES + 1)
        ],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [
            {"id": n, "image_id": image, "category_id": 1, "bbox": box,
             "area": box[2] * box[3], "iscrowd": 0}
            for n, (image, box) in enumerate(boxes, 1)
        ],
    }  # fmt: skip
    path = folder / "annotations.json"
    path.write_text(json.dumps(document))
    return path


def _detect(skill: float, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    found = []
    for image, (x, y, w, h) in _boxes():
        if rng.random() < skill:
            moved = [x + rng.normal(0, 0.05) * w, y + rng.normal(0, 0.05) * h, w, h]
            found.append(_detection(image, moved, rng))
        if rng.random() < 0.3:
            found.append(_detection(image, [*rng.uniform(0, 150, 2), 30.0, 30.0], rng))
    return found


def _detection(image: int, box: list[float], rng: np.random.Generator) -> dict[str, Any]:
    score = float(rng.uniform(0.1, 1))
    return {"image_id": image, "category_id": 1, "bbox": [*map(float, box)], "score": score}
