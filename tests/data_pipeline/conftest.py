"""Annotation files and a small data set."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from photo_sets import make_folder

from harness.data.folder import CocoFolder

Document = dict[str, Any]

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


@pytest.fixture
def folder(tmp_path: Path) -> CocoFolder:
    return make_folder(tmp_path / "set")
