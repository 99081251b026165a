"""Time to score a detections file of 500 images with either backend."""

import json
import random
from pathlib import Path

import pytest

from harness.stages.scoring import evaluate
from harness_plugins.meters.coco_ap import CocoAp

IMAGES, CLASSES, OBJECTS, DETECTIONS = 500, 80, 7, 100


@pytest.fixture(scope="module")
def scored(tmp_path_factory) -> tuple[Path, Path]:
    """500 images with 7 objects each and 100 detections each, some of them hits."""
    folder, rng = tmp_path_factory.mktemp("evaluation"), random.Random(0)
    truth = [
        {"image_id": i, "category_id": rng.randint(1, CLASSES), "iscrowd": 0, **make_box(rng)}
        for i in range(1, IMAGES + 1)
        for _ in range(OBJECTS)
    ]
    content = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "width": 640, "height": 640}
            for i in range(1, IMAGES + 1)
        ],
        "categories": [{"id": c, "name": f"c{c}"} for c in range(1, CLASSES + 1)],
        "annotations": [{"id": n, **box} for n, box in enumerate(truth, 1)],
    }
    hits = [{**detection(box, rng), "category_id": box["category_id"]} for box in truth]
    misses = [
        {**detection({"image_id": i, **make_box(rng)}, rng), "category_id": rng.randint(1, CLASSES)}
        for i in range(1, IMAGES + 1)
        for _ in range(DETECTIONS - OBJECTS)
    ]
    (folder / "truth.json").write_text(json.dumps(content))
    (folder / "found.json").write_text(json.dumps(hits + misses))
    return folder / "truth.json", folder / "found.json"


def make_box(rng: random.Random) -> dict:
    w, h = (16 * 2 ** rng.uniform(0, 4) for _ in range(2))
    return {"bbox": [rng.uniform(0, 640 - w), rng.uniform(0, 640 - h), w, h], "area": w * h}


def detection(box: dict, rng: random.Random) -> dict:
    x, y, w, h = box["bbox"]
    moved = [x + rng.gauss(0, 0.1 * w), y + rng.gauss(0, 0.1 * h), w, h]
    return {"image_id": box["image_id"], "bbox": moved, "score": rng.random()}


@pytest.mark.parametrize("backend", ["faster_coco_eval", "pycocotools"])
def test_scoring_500_images(benchmark, scored, backend):
    truth, found = scored
    measured = benchmark.pedantic(
        evaluate, args=(truth, found, [CocoAp(backend)]), rounds=3, warmup_rounds=1
    )
    assert 0 < measured[0].value < 1
