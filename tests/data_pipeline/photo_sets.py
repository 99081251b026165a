"""Drawn photos, small data sets in COCO's layout, the real ones, and loaders of them."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from harness.data.batch import Inputs, Targets
from harness.data.folder import CocoFolder
from harness.data.loader import TrainLoader, train_loader
from harness.data.resize import SquashResize
from harness.manifest.schema import Train

SHARED = Path(__file__).parents[3] / "shared" / "data"
RESIZE = SquashResize(64, 64)
Batch = tuple[Inputs, Targets]


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


def loader(
    folder: CocoFolder, seed: int = 0, on_device: bool = False, **settings: Any
) -> TrainLoader:
    chosen = Train(**{"batch_size": 2, "workers": 0, **settings})
    return train_loader(folder.split("train"), RESIZE, chosen, seed, colours_on_device=on_device)


def equal(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, b)
        for x, y in zip(one, other, strict=True)
        for ours, theirs in zip(x, y, strict=True)
        for a, b in zip(ours.tensors(), theirs.tensors(), strict=True)
    )
