"""Decoded images on disk: which are kept, for how long, and where in the file.

One slot per image, filled by whoever decodes it first and mapped by all. Slots have fixed places,
so nobody waits for anybody: two processes that decode the same image write the same bytes. A
slot's record is written after its pixels and names the image file's size and time and a checksum;
a slot that was left half written, by a kill or a power cut, does not match its record and counts as
empty, as does that of a file that has changed since.
"""

import hashlib
import json
import os
import shutil
import sys
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self
from weakref import finalize

import cv2
import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data.annotations import ImageEntry
from harness.data.cache import cache_folder, make_folder
from harness.data.scaling import network_size
from harness.data.source import Split
from harness.errors import UserError
from harness.files import sha256_of

FULL = "full"  # marks that a process has reported a full disk
VERSION = 3  # raise it when decoding or resizing gives other pixels
GIB = 2**30
KEPT_DAYS = 30  # after its last use
KEPT_TIMES = 4  # all image caches together may take this many times the limit of one
PIXELS, INDEX = "pixels", "index"
RECORD = np.dtype([("changed", "<i8"), ("size", "<i8"), ("checksum", "<u4"), ("filled", "<u4")])
FILLED = 0x5117


class Stamp(NamedTuple):
    """Time of the last change (ns) and size of an image file."""

    changed: int
    size: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Raises OSError if there is no such file."""
        state = path.stat()
        return cls(state.st_mtime_ns, state.st_size)


@dataclass
class _Files:
    """The two files, opened by one process and shared with its forks."""

    pixels: Tensor
    index: NDArray[Any]
    writing: tuple[int, int] | None


class ImageStore:
    """Slots of the given shapes in a folder that `make` has laid out.

    Args:
        folder: that holds the two files.
        shapes: (N, 2) int64, height and width of each image.
        planar: pixels lie as (3, h, w), not as (h, w, 3).
    """

    def __init__(self, folder: Path, shapes: NDArray[np.int64], planar: bool) -> None:
        self.folder, self.shapes, self.planar = folder, shapes, planar
        self.offsets = np.concatenate([[0], np.cumsum(shapes.prod(1) * 3)])
        self._checked = np.full(len(shapes), -1, np.int64)
        self._files: _Files | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_files": None}

    @property
    def nbytes(self) -> int:
        return int(self.offsets[-1])

    def make(self, folder: Path) -> None:
        """Make a folder of empty slots; they take no space until they are filled."""
        folder.mkdir(parents=True)
        for name, size in self._sizes().items():
            with (folder / name).open("wb") as file:
                file.truncate(size)

    def is_made(self, folder: Path) -> bool:
        try:
            return all((folder / name).stat().st_size == n for name, n in self._sizes().items())
        except OSError:
            return False

    def _sizes(self) -> dict[str, int]:
        return {PIXELS: self.nbytes, INDEX: len(self.shapes) * RECORD.itemsize}

    def open(self) -> _Files:
        """Raises OSError or ValueError if the folder was not made, or is gone."""
        if self._files is None:
            paths = self.folder / PIXELS, self.folder / INDEX
            # copy-on-write: a plugin that writes into its input spoils no slot
            pixels = torch.from_numpy(np.memmap(paths[0], np.uint8, "c"))
            index = np.memmap(paths[1], RECORD, "r")
            writing = None
            with suppress(OSError):  # another user's cache may still be readable
                writing = (os.open(paths[0], os.O_WRONLY), os.open(paths[1], os.O_WRONLY))
            self._files = _Files(pixels, index, writing)
            for descriptor in writing or ():
                finalize(self._files, os.close, descriptor)
        return self._files

    def read(self, row: int, stamp: Stamp) -> Tensor | None:
        """(3, h, w) uint8, not to be written to; None if the slot is empty or of another file.

        The checksum is compared once per process, then the slot is trusted.
        """
        files = self.open()
        changed, size, checksum, filled = files.index[row].item()
        if filled != FILLED or (changed, size) != stamp:
            return None
        flat = files.pixels[int(self.offsets[row]) : int(self.offsets[row + 1])]
        if self._checked[row] != checksum:
            if zlib.crc32(flat.numpy().data) != checksum:
                return None
            self._checked[row] = checksum
        height, width = self.shapes[row].tolist()
        if self.planar:
            return flat.view(3, height, width)
        return flat.view(height, width, 3).permute(2, 0, 1)

    def write(self, row: int, stamp: Stamp, pixels: Tensor) -> None:
        """Fill a slot with (3, h, w) uint8.

        Raises:
            OSError: the disk is full.
        """
        files = self.open()
        if files.writing is None:
            return
        ordered = pixels if self.planar else pixels.permute(1, 2, 0)
        data = ordered.contiguous().numpy().reshape(-1)
        record = np.array([(*stamp, zlib.crc32(data.data), FILLED)], RECORD)
        _write_whole(files.writing[0], data.data, int(self.offsets[row]))
        _write_whole(files.writing[1], memoryview(record.tobytes()), row * RECORD.itemsize)


def _write_whole(file: int, data: memoryview, offset: int) -> None:
    """Never through a mapping: on a full disk that kills the process instead of raising."""
    done = 0
    while done < len(data):
        done += os.pwrite(file, data[done:], offset + done)


def open_cache(
    split: Split,
    images: Sequence[ImageEntry],
    resize: Mapping[str, Any] | None,
    limit_gib: float,
    note: bool = True,
) -> ImageStore | None:
    """Slots for all images of a split; None if they do not fit, or nothing can be written.

    Args:
        resize: of `Resize.describe`: images are kept at network size; None: as decoded.
        limit_gib: that the pixels may take, in GiB; 0 for no cache.
        note: whether to print on stderr that the cache cannot be used.
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
            note_uncached(str(error))
        return None
    return store


def note_uncached(reason: str) -> None:
    print(f"harness: note: decoded images are not cached: {reason}", file=sys.stderr)


def _shape(image: ImageEntry, resize: Mapping[str, Any] | None) -> tuple[int, int]:
    if resize is None:
        return image.height, image.width
    return network_size(resize, image.height, image.width)


def _key(split: Split, resize: Mapping[str, Any] | None) -> str:
    """Name of the folder: everything that determines the pixels, except the image files."""
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
    return sha256_of(path)


def _make_room(folder: Path, needed: int, limit_gib: float) -> None:
    """Delete old and surplus caches, and check that the disk has space.

    What another process has open stays readable for it.

    Raises:
        OSError: not enough space, or the folder cannot be made.
    """
    root = folder.parent
    root.mkdir(parents=True, exist_ok=True)
    total, oldest = needed, time.time() - KEPT_DAYS * 86_400
    for other in sorted(set(root.iterdir()) - {folder}, key=_last_use, reverse=True):
        total += _nbytes(other)
        # a name with a dot is a folder that another process is filling
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
