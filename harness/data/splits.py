"""A split as it is found on disk, and its labels as a COCO file. No torch here.

Labels in other formats, and COCO files that lack what only the image files or the other split
know, are written once as whole COCO files into the cache; everything else reads those.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from PIL import Image

from harness.data.cache import cache_folder, make_folder
from harness.data.faults import DataError, OnMistake, refuse
from harness.data.source import Split, SplitName

VERSION = 1  # increment it with every change of what is written
ORIENTATION = 0x0112  # EXIF tag, 1..8; from 5 on, upright images have width and height swapped
NOTES = "harness_notes"  # key of a written file: what was decided on the way, one line each
TESTED = (
    "there is no validation split, so the test split is evaluated on: what is chosen by its AP is "
    "chosen on test data"
)
SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


@dataclass
class Document:
    """A COCO file in the making; ids of images and annotations count from 1."""

    categories: list[dict[str, Any]]
    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add_image(self, file_name: str, size: tuple[int, int]) -> None:
        """Args: file_name: relative to the folder of images; size: width, height."""
        entry = {"id": len(self.images) + 1, "file_name": file_name}
        self.images.append({**entry, "width": size[0], "height": size[1]})

    def add_box(self, category: int, box: Sequence[float]) -> None:
        """Of the image that was added last; box: x, y, width, height in pixels."""
        self.annotations.append(
            {
                "id": len(self.annotations) + 1,
                "image_id": len(self.images),
                "category_id": category,
                "bbox": [round(value, 4) for value in box],
                "area": round(box[2] * box[3], 4),
                "iscrowd": 0,
            }
        )

    def encoded(self) -> str:
        return json.dumps(
            {**{k: v for k, v in vars(self).items() if k != "notes"}, NOTES: self.notes}
        )


@dataclass(frozen=True)
class Found:
    """A split as found.

    Attributes:
        images: folder that file names are relative to.
        labels: the COCO file; of another format the file that lists the split.
        files: all files with labels, where `convert` makes a COCO file of them.
        pictures: the image files, where `convert` reads their sizes.
        notes: what a user should know of how it was found.
        layout: which of several ways to lay files out this is.
        reader: plugin and version of a reader that is not shipped; it is filled in.
        convert: makes the COCO file; it leaves out what it reports as a mistake.
    """

    name: SplitName
    images: Path
    labels: Path
    files: tuple[Path, ...] = ()
    pictures: tuple[Path, ...] = ()
    convert: Callable[[OnMistake], str] | None = None
    notes: tuple[str, ...] = ()
    layout: str = ""
    reader: str = ""


def as_split(found: Found) -> Split:
    """With a COCO file: its own, or one in the cache, rewritten when any of its files changes.

    Raises:
        UserError: labels are broken, images cannot be read, the cache cannot be written.
    """
    if found.convert is None:
        return Split(found.name, found.images, found.labels, found.notes)
    convert, name = found.convert, f"instances_{found.name}.json"
    folder = cache_folder() / "annotations" / _key(found)

    def fill(draft: Path) -> None:
        text = convert(refuse)
        draft.mkdir()
        (draft / name).write_text(text)

    make_folder(folder, fill, lambda place: (place / name).is_file())
    return Split(found.name, found.images, folder / name, found.notes)


def _key(found: Found) -> str:
    """Contents of all labels; name, size and time of all images, whose headers are read."""
    digest = hashlib.sha256(f"{VERSION}\0{found.images.resolve()}\0{found.reader}".encode())
    for path in (found.labels, *found.files):
        digest.update(f"{path}\0{hashlib.sha256(read_bytes(path)).hexdigest()}\0".encode())
    for path in found.pictures:
        try:
            state = path.stat()
        except OSError:
            continue  # it is missing, which the check of the split reports
        digest.update(f"{path}\0{state.st_size}\0{state.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:32]


def with_test_split(
    train: Found | None, val: Found | None, find_test: Callable[[], Found | None]
) -> tuple[Found, ...]:
    """The splits that are there; without one for validation the test split is in its place."""
    if train is not None and val is None and (test := find_test()) is not None:
        val = replace(test, notes=(TESTED,))
    return tuple(split for split in (train, val) if split is not None)


def climbs_out(name: str) -> bool:
    """Whether a file name may lie outside of the folder, on POSIX or on Windows."""
    paths = (PurePosixPath(name), PureWindowsPath(name))
    return any(path.is_absolute() or ".." in path.parts for path in paths)


def read_bytes(path: Path) -> bytes:
    """Raises UserError where a file cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError("labels", f"cannot be read: {error.strerror}", where=path) from error


def read_lines(path: Path) -> list[str]:
    """Raises UserError where a file cannot be read or is not UTF-8."""
    try:
        return read_bytes(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError("labels", "is not UTF-8 text", where=path) from error


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height from an image's header, turned upright by EXIF as labelling tools do.

    Raises:
        UserError: the file is missing or not an image.
    """
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
            return image.size[::-1] if turned else image.size
    except Exception as error:  # decoders raise anything on a broken file
        hint = "needs the image, for its size"
        if isinstance(error, FileNotFoundError):
            raise DataError("missing_image", "is missing", where=path, hint=hint) from error
        found = "is not a whole image"
        raise DataError("unreadable_image", found, where=path, hint=hint) from error


def shared_folder(paths: Iterable[Path]) -> Path:
    """The deepest folder that holds all files."""
    return Path(os.path.commonpath([path.parent for path in paths]))
