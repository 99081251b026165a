"""Drawn photos, small data sets in COCO's layout, and the real ones."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data.folder import CocoFolder

SHARED = Path(__file__).parents[3] / "shared" / "data"


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


def real_set(name: str) -> CocoFolder:
    """A real data set, or a skip."""
    root = Path(os.environ.get("HARNESS_DATA", SHARED)) / name
    if not root.is_dir():
        pytest.skip(f"{root} is absent")
    return CocoFolder(root)
