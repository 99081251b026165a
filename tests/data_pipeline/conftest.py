"""Small data sets in COCO's layout, and the real ones."""

import copy
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from harness.data.folder import CocoFolder

Document = dict[str, Any]
SHARED = Path(__file__).parents[3] / "shared" / "data"

VALID: Document = {
    "images": [
        {"id": 7, "file_name": "a.jpg", "width": 64, "height": 48},
        {"id": 3, "file_name": "b.jpg", "width": 80, "height": 60},
    ],
    "annotations": [
        {"id": 1, "image_id": 3, "category_id": 9, "bbox": [1, 2, 30, 40], "area": 900},
        {"id": 2, "image_id": 7, "category_id": 4, "bbox": [0.5, 1, 10, 20], "area": 200},
        {"id": 5, "image_id": 3, "category_id": 4, "bbox": [10, 10, 50, 20], "area": 1000},
    ],
    "categories": [{"id": 9, "name": "zebra"}, {"id": 4, "name": "apple"}],
}
for _annotation in VALID["annotations"]:
    _annotation["iscrowd"] = 0


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads cost more than they give on images this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def document() -> Document:
    """A correct annotation file's contents, free to be changed."""
    return copy.deepcopy(VALID)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    """Writes a document (or raw text) as an annotation file."""

    def save(content: Any) -> Path:
        path = tmp_path / "instances.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return save


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth coloured pixels that survive JPEG."""
    y, x = np.mgrid[:height, :width] / 40.0
    waves = [np.sin(x * (1 + i) + seed) + np.cos(y * (2 + i) - seed) for i in range(3)]
    return np.clip(128 + 60 * np.stack(waves, -1), 0, 255).astype(np.uint8)


def make_folder(root: Path, images: int = 6, split: str = "train") -> CocoFolder:
    """`images` photos of 64x48 upwards with two boxes each."""
    (root / split).mkdir(parents=True)
    (root / "annotations").mkdir(exist_ok=True)
    entries, annotations = [], []
    for i in range(1, images + 1):
        width, height = 64 + 4 * i, 48 + 2 * i
        Image.fromarray(photo(height, width, i)).save(root / split / f"{i}.jpg", quality=95)
        entries.append({"id": i, "file_name": f"{i}.jpg", "width": width, "height": height})
        for j, box in enumerate([[5, 6, 20, 25], [30.5, 12, 18, 30]]):
            annotations.append(
                {"id": 2 * i + j, "image_id": i, "category_id": 1 + j, "bbox": box, "iscrowd": 0}
            )
            annotations[-1]["area"] = box[2] * box[3]
    categories = [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}]
    document = {"images": entries, "annotations": annotations, "categories": categories}
    (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(document))
    return CocoFolder(root)


@pytest.fixture
def folder(tmp_path: Path) -> CocoFolder:
    return make_folder(tmp_path / "set")


def real_set(name: str) -> CocoFolder:
    """A real data set, or a skip."""
    root = Path(os.environ.get("HARNESS_DATA", SHARED)) / name
    if not root.is_dir():
        pytest.skip(f"{root} is absent")
    return CocoFolder(root)
