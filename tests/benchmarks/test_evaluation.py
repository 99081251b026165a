"""Time from a network's detections to AP, against pycocotools on the same data in the same run.

`HARNESS_EVAL_IMAGES=5000` measures a whole val2017.
"""

import contextlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from harness.model.types import Detections
from harness.stages.collecting import collector_paused
from harness.stages.detections_file import read_detections, write_detections
from harness.stages.evaluate import coco_results
from harness.stages.inputs import EvaluationInput
from harness.stages.scoring import evaluate, read_ground_truth
from harness_plugins.meters.coco_ap import CocoAp, accumulate

IMAGES = int(os.environ.get("HARNESS_EVAL_IMAGES", "500"))
CLASSES, OBJECTS, DETECTIONS, BATCH, ROUNDS = 80, 7, 100, 8, 3
Batches = list[tuple[Detections, list[int]]]


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 4) xywh in an image of 640x640."""
    sides = 16 * 2 ** rng.uniform(0, 4, (count, 2))
    return np.concatenate([rng.uniform(0, 1, (count, 2)) * (640 - sides), sides], 1).round(2)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Batches]:
    """Ground truth of 7 objects per image, and batches of 100 detections each, some hits."""
    path, rng = tmp_path_factory.mktemp("evaluation") / "truth.json", np.random.default_rng(0)
    owners = np.repeat(np.arange(1, IMAGES + 1), OBJECTS)
    boxes, labels = random_boxes(rng, len(owners)), rng.integers(0, CLASSES, len(owners))
    rows = zip(owners.tolist(), labels.tolist(), boxes.tolist(), strict=True)
    annotations = [
        {"id": n, "image_id": i, "category_id": c + 1, "bbox": b, "area": b[2] * b[3], "iscrowd": 0}
        for n, (i, c, b) in enumerate(rows, 1)
    ]
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 640, "height": 640} for i in set(owners)]
    images = [{**image, "id": int(image["id"])} for image in images]
    categories = [{"id": c, "name": f"c{c}"} for c in range(1, CLASSES + 1)]
    document = {"images": images, "categories": categories, "annotations": annotations}
    path.write_text(json.dumps(document))
    ids = list(range(1, IMAGES + 1))
    chunks = [ids[start : start + BATCH] for start in range(0, IMAGES, BATCH)]
    return path, [(detections(rng, chunk, boxes, labels), chunk) for chunk in chunks]


def detections(
    rng: np.random.Generator, ids: list[int], boxes: np.ndarray, labels: np.ndarray
) -> Detections:
    found, classes = [], []
    for image in ids:
        own = slice((image - 1) * OBJECTS, image * OBJECTS)
        hits = boxes[own] + rng.normal(0, 0.1, (OBJECTS, 4)) * boxes[own][:, 2:].repeat(2, 1)
        xywh = np.concatenate([hits, random_boxes(rng, DETECTIONS - OBJECTS)]).clip(0)
        found.append(np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1))
        classes.append(np.append(labels[own], rng.integers(0, CLASSES, DETECTIONS - OBJECTS)))
    order = rng.permuted(np.tile(np.arange(DETECTIONS), (len(ids), 1)), axis=1)
    scores = -np.sort(-rng.random((len(ids), DETECTIONS)), axis=1)
    return Detections(
        torch.from_numpy(np.take_along_axis(np.stack(found), order[..., None], 1)).float(),
        torch.from_numpy(scores).float(),
        torch.from_numpy(np.take_along_axis(np.stack(classes), order, 1)),
        torch.full((len(ids),), DETECTIONS),
    )


def results(batches: Batches) -> list[Any]:
    found: list[Any] = []
    for batch, ids in batches:
        with collector_paused():
            found += coco_results(batch, ids, range(1, CLASSES + 1))
    return found


def whole_path(truth: Path, batches: Batches, out: Path) -> float:
    """What the stage does once the network is done."""
    write_detections(out, results(batches))
    return evaluate(truth, out, [CocoAp()])[0].value


def with_pycocotools(truth: Path, found: Path) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        index = COCO(str(truth))
        run = COCOeval(index, index.loadRes(str(found)), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run


def timed(times: list[float], work: Callable[..., Any], *given: Any) -> Any:
    start = perf_counter()
    result = work(*given)
    times.append(perf_counter() - start)
    return result


def test_against_pycocotools(
    benchmark: Any, capsys: Any, scored: tuple[Path, Batches], tmp_path: Path
) -> None:
    truth, batches = scored
    out, loaded = tmp_path / "found.json", read_ground_truth(truth)
    times: dict[str, list[float]] = {name: [] for name in ("whole", "pycocotools", "AP", "its AP")}
    values = []

    def measure() -> None:
        ours = timed(times["whole"], whole_path, truth, batches, out)
        theirs = timed(times["pycocotools"], with_pycocotools, truth, out)
        values.append((ours, theirs.stats[0]))
        given = EvaluationInput(loaded, read_detections(out, loaded))
        with collector_paused():
            timed(times["AP"], accumulate, given, "faster_coco_eval")
            timed(times["its AP"], accumulate, given, "pycocotools")

    benchmark.pedantic(measure, rounds=ROUNDS)
    for ours, theirs in values:
        assert ours == pytest.approx(theirs, abs=1e-9)
    whole, reference, ap, its_ap = (median(each) for each in times.values())
    benchmark.extra_info.update(whole=reference / whole, ap=its_ap / ap, images=IMAGES)
    with capsys.disabled():
        print(f"\n{benchmark.name}, {IMAGES} images of {DETECTIONS} detections:")
        print(f"  AP alone     {ap:7.2f} s, pycocotools {its_ap:7.2f} s: {its_ap / ap:.1f}x")
        print(f"  whole path   {whole:7.2f} s, pycocotools {reference:7.2f} s: ", end="")
        print(f"{reference / whole:.1f}x (its time has no writing in it)")
