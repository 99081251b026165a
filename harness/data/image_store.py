"""Decoded pixels on disk: a slot an image, filled by whoever decodes it first, mapped by all.

Slots have fixed places, so nobody waits for anybody: two processes that decode the same image
write the same bytes. A slot's record is written after its pixels and names the image file's size
and time and a checksum; a slot that was left half written, by a kill or a power cut, does not fit
its record and counts as empty, as does that of a file that has changed since.
"""

import os
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self
from weakref import finalize

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PIXELS, INDEX = "pixels", "index"
RECORD = np.dtype([("changed", "<i8"), ("size", "<i8"), ("checksum", "<u4"), ("filled", "<u4")])
FILLED = 0x5117


class Stamp(NamedTuple):
    """Time of the last change (ns) and size of an image file."""

    changed: int
    size: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Raises OSError where there is no such file."""
        state = path.stat()
        return cls(state.st_mtime_ns, state.st_size)


@dataclass
class _Files:
    """The two files as one process has them open; what it forks shares them."""

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
        """Lay out empty slots in a folder yet to be made; they take no room until filled."""
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
        """Raises OSError or ValueError: the folder was not made, or has gone since."""
        if self._files is None:
            paths = self.folder / PIXELS, self.folder / INDEX
            # copy-on-write: a plugin that writes into its input spoils no slot
            pixels = torch.from_numpy(np.memmap(paths[0], np.uint8, "c"))
            index = np.memmap(paths[1], RECORD, "r")
            writing = None
            with suppress(OSError):  # somebody else's cache may still be read
                writing = (os.open(paths[0], os.O_WRONLY), os.open(paths[1], os.O_WRONLY))
            self._files = _Files(pixels, index, writing)
            for descriptor in writing or ():
                finalize(self._files, os.close, descriptor)
        return self._files

    def read(self, row: int, stamp: Stamp) -> Tensor | None:
        """(3, h, w) uint8, not to be written to; None where the slot is empty or of another file.

        The checksum is compared once a process, then the slot is trusted.
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
