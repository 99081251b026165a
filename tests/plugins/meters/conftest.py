"""Builders of small ground truths and pseudo-detections."""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def real_annotations() -> Callable[[str], Path]:
    """Name of a real data set -> its validation annotations; skips where they are absent."""

    def find(name: str) -> Path:
        root = Path(os.environ.get("HARNESS_DATA") or REPOSITORY.parent / "shared" / "data")
        path = root / name / "annotations" / "instances_val.json"
        if not path.exists():
            pytest.skip(f"{name} is not in {root}")
        return path

    return find


@pytest.fixture
def write_annotations(tmp_path: Path) -> Callable[..., Path]:
    """Boxes (image, category, x, y, w, h[, extra fields]) -> an annotation file."""

    def write(boxes: list[tuple[Any, ...]], images: int = 2, classes: int = 2) -> Path:
        content = {
            "images": [
                {"id": i, "width": 400, "height": 400, "file_name": f"{i}.jpg"}
                for i in range(1, images + 1)
            ],
            "categories": [{"id": 10 * c, "name": f"class{c}"} for c in range(1, classes + 1)],
            "annotations": [annotation(i, *box) for i, box in enumerate(boxes)],
        }
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps(content))
        return path

    return write


def annotation(
    number: int, image: int, category: int, x: float, y: float, w: float, h: float, *extra: Any
) -> dict[str, Any]:
    fields = {"area": w * h, "iscrowd": 0, **(extra[0] if extra else {})}
    box = [x, y, w, h]
    return {"id": number, "image_id": image, "category_id": category, "bbox": box, **fields}


@pytest.fixture
def noisy_detections() -> Callable[..., list[dict[str, Any]]]:
    """Pseudo-detections: ground truth moved, resized, sometimes of another class, tied scores."""

    def make(path: Path, seed: int = 0, copies: int = 3) -> list[dict[str, Any]]:
        content, rng = json.loads(path.read_text()), random.Random(seed)
        categories = [category["id"] for category in content["categories"]]
        return [
            disturb(truth, categories, rng)
            for truth in content["annotations"]
            for _ in range(copies)
        ]

    return make


def disturb(truth: dict[str, Any], categories: list[int], rng: random.Random) -> dict[str, Any]:
    x, y, w, h = truth["bbox"]
    moved = [x + rng.gauss(0, 0.1 * w), y + rng.gauss(0, 0.1 * h)]
    same = rng.random() < 0.9
    return {
        "image_id": truth["image_id"],
        "category_id": truth["category_id"] if same else rng.choice(categories),
        "bbox": [*moved, w * rng.uniform(0.7, 1.4), h * rng.uniform(0.7, 1.4)],
        "score": round(rng.random(), 2),
    }
