"""Files of figures that others' code computed: committed ones, and those that a folder brings."""

import os
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

DATA = Path(__file__).parent / "data"


def reference_files(pattern: str) -> list[Path]:
    """Those in tests/data and in the folder that HARNESS_REFERENCE_DATA names, each once.

    The folder may hold figures of some systems only, but not none at all.
    """
    folders = [DATA, *map(Path, filter(None, [os.environ.get("HARNESS_REFERENCE_DATA")]))]
    empty = [folder for folder in folders if not any(folder.glob("*_seed*.npz"))]
    assert not empty, f"no figures (*_seed*.npz) in {empty}"
    found = {path.name: path for folder in folders for path in folder.glob(pattern)}
    assert found, pattern
    return [found[name] for name in sorted(found)]


def rng(seed: int, key: str) -> np.random.Generator:
    """The generator of a weight or an image, by its name."""
    return np.random.Generator(np.random.PCG64(zlib.crc32(f"{seed}:{key}".encode())))


def count_matched(found: Tensor, wanted: Tensor, pixels: float, score: float) -> int:
    """How many rows (box, score[, label]) of `wanted` have a row of `found` of their own.

    The same label, corners within `pixels`, and scores within `score`.
    """
    tolerance = torch.tensor([pixels] * 4 + [score] + [0.0] * (wanted.shape[1] - 5))
    close = ((found[None] - wanted[:, None]).abs() <= tolerance).all(-1)
    matched = 0
    for row in close:
        candidates = row.nonzero()
        if len(candidates):
            matched += 1
            close[:, candidates[0]] = False
    return matched
