"""Which decoded images are kept, where, and for how long."""

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL

from harness.data.annotations import ImageEntry
from harness.data.cache import cache_folder, make_folder
from harness.data.image_store import ImageStore
from harness.data.scaling import network_size
from harness.data.source import Split
from harness.errors import UserError

FULL = "full"  # says that a process has told of a full disk
VERSION = 2  # raise it when decoding or resizing gives other pixels
GIB = 2**30
KEPT_DAYS = 30  # that a cache is kept after its last use
KEPT_TIMES = 4  # all image caches together may take so many times the limit of one


def open_cache(
    split: Split,
    images: Sequence[ImageEntry],
    resize: Mapping[str, Any] | None,
    limit_gib: float,
    note: bool = True,
) -> ImageStore | None:
    """Slots for all images of a split; None where they do not fit, or nothing can be written.

    Args:
        resize: of `Resize.describe`: images are kept at network size; None: as decoded.
        limit_gib: that the pixels may take, in GiB; 0 for no cache.
        note: whether to say on stderr that the cache cannot be used.
    """
    shapes = np.array([_shape(image, resize) for image in images], np.int64).reshape(-1, 2)
    store = ImageStore(Path(), shapes, planar=resize is not None)
    if not 0 < store.nbytes <= limit_gib * GIB:
        return None
    store.folder = cache_folder() / "images" / _key(split, resize)
    try:
        if not store.is_made(store.folder):
            _make_room(store.folder, store.nbytes, limit_gib)
            make_folder(store.folder, store.make, store.is_made)
        store.open()
        _note_use(store.folder)
    except (OSError, ValueError, UserError) as error:
        if note:
            say(str(error))
        return None
    return store


def say(reason: str) -> None:
    print(f"harness: note: images are decoded anew each time: {reason}", file=sys.stderr)


def _shape(image: ImageEntry, resize: Mapping[str, Any] | None) -> tuple[int, int]:
    if resize is None:
        return image.height, image.width
    return network_size(resize, image.height, image.width)


def _key(split: Split, resize: Mapping[str, Any] | None) -> str:
    """Name of the folder: everything that the pixels follow from, except the image files."""
    state = split.annotations.stat()
    parts = {
        "version": VERSION,
        "annotations": _sha256(split.annotations, state.st_mtime_ns, state.st_size),
        "images": str(split.images.resolve()),
        "resize": None if resize is None else dict(resize),
        "pillow": PIL.__version__,
        "opencv": cv2.__version__,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


@lru_cache(maxsize=8)
def _sha256(path: Path, _mtime: int, _size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make_room(folder: Path, needed: int, limit_gib: float) -> None:
    """Remove what was not used for long or is too much, and see whether the disk has room.

    What another process has open stays readable for it.

    Raises:
        OSError: no room, or no such folder can be made.
    """
    root = folder.parent
    root.mkdir(parents=True, exist_ok=True)
    total, oldest = needed, time.time() - KEPT_DAYS * 86_400
    for other in sorted(set(root.iterdir()) - {folder}, key=_last_use, reverse=True):
        total += _nbytes(other)
        # a name with a dot is a folder that another process is about to make
        too_much = total > KEPT_TIMES * limit_gib * GIB and not other.name.startswith(".")
        if too_much or _last_use(other) < oldest:
            shutil.rmtree(other, ignore_errors=True)
    if shutil.disk_usage(root).free < 2 * needed:
        raise OSError(f"{needed / GIB:.2g} GiB are more than half of what is free in {root}")


def _nbytes(folder: Path) -> int:
    try:
        return sum(file.stat().st_size for file in folder.iterdir())
    except OSError:  # another process has just removed it
        return 0


def _last_use(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _note_use(folder: Path) -> None:
    try:
        os.utime(folder)
        (folder / FULL).unlink(missing_ok=True)
    except OSError:  # another user's cache
        return
