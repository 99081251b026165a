"""Checked annotations of one split as flat arrays. No torch here: a plan reads this.

`harness.data.coco_json` says what is an error and what is tolerated. AP is computed from the file
itself, so nothing that is left out or clipped here affects an evaluation.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from harness.data.boxes import BINS, COCO_AREAS, LARGEST
from harness.data.coco_json import Entry, fill_defaults, read_with_notes
from harness.data.faults import SHOWN, Fault, FaultKind
from harness.data.suspicions import suspicions
from harness.data.tidying import Lists
from harness.errors import UserError

ROUNDING = 1.0  # pixels beyond the edge that count as rounding
MIN_SIDE = 1.0  # pixels; smaller boxes are not trained on


@dataclass(frozen=True)
class ImageEntry:
    """An image as the file lists it; `file_name` is relative to the split's folder."""

    id: int
    file_name: str
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Objects:
    """Annotated objects, one row each.

    Attributes:
        boxes: (N, 4) float64 xyxy with exclusive corners, in image pixels.
        labels: (N,) int64, contiguous from 0.
        crowd: (N,) bool.
        areas: (N,) float64, the field `area` (of the mask in official COCO).
        ids: (N,) int64 annotation ids.
    """

    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    areas: NDArray[np.float64]
    ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice | NDArray[np.generic]) -> Self:
        return type(self)(
            self.boxes[rows], self.labels[rows], self.crowd[rows], self.areas[rows], self.ids[rows]
        )


@dataclass(frozen=True, eq=False)
class Annotations:
    """One annotation file.

    Attributes:
        path: the file.
        classes: names in ascending order of category id; label i is `classes[i]`.
        category_ids: dataset id of label i.
        images: in the order of the file.
        objects: all objects, grouped by image in the order of `images`.
        offsets: (len(images) + 1,) where each image's objects begin in `objects`.
        faults: what is tolerated, and a user should know.
    """

    path: Path
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    images: tuple[ImageEntry, ...]
    objects: Objects
    offsets: NDArray[np.int64]
    faults: tuple[Fault, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know, one line each."""
        return tuple(fault.line for fault in self.faults)

    def of_image(self, index: int) -> Objects:
        """Objects of `images[index]` as annotated."""
        return self.objects[int(self.offsets[index]) : int(self.offsets[index + 1])]

    def trainable(self, index: int) -> Objects:
        """Objects of `images[index]` to train on, clipped to the image.

        Left out are crowds and boxes with a side under one pixel after clipping.
        """
        image, objects = self.images[index], self.of_image(index)
        limits = np.array([image.width, image.height] * 2, dtype=np.float64)
        clipped = np.clip(objects.boxes, 0.0, limits)
        sides = clipped[:, 2:] - clipped[:, :2]
        kept = ~objects.crowd & (sides >= MIN_SIDE).all(1)
        return replace(objects, boxes=clipped)[kept]


def read_annotations(path: Path) -> Annotations:
    """Read and check a COCO-format file. An unchanged file is read once per process.

    Raises:
        UserError: see `harness.data.coco_json`.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise UserError(
            f"cannot be read: {error.strerror}", where=path, hint="needs a COCO-format file"
        ) from error
    return _read(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def _read(path: Path, _mtime: int, _size: int) -> Annotations:
    return as_annotations(path, *read_with_notes(path))


def as_annotations(path: Path, lists: Lists, notes: Sequence[str]) -> Annotations:
    """Of lists that `harness.data.coco_json` has checked, as it returns them."""
    categories = sorted(lists["categories"], key=lambda category: int(category["id"]))
    images = tuple(
        ImageEntry(i["id"], i["file_name"], i["width"], i["height"]) for i in lists["images"]
    )
    category_ids = tuple(int(category["id"]) for category in categories)
    objects, offsets = _table(lists["annotations"], images, category_ids)
    classes = tuple(str(category["name"]) for category in categories)
    own = _tolerated(lists["annotations"], images, objects, offsets, classes)
    faults = (*(Fault("other_note", 1, note) for note in notes), *own)
    return Annotations(path, classes, category_ids, images, objects, offsets, faults)


def _table(
    entries: list[Entry], images: tuple[ImageEntry, ...], category_ids: tuple[int, ...]
) -> tuple[Objects, NDArray[np.int64]]:
    """Objects grouped by image, and where each image's begin."""
    entries = [fill_defaults(entry) for entry in entries]
    position = {image.id: i for i, image in enumerate(images)}
    label = {category: i for i, category in enumerate(category_ids)}
    boxes = np.array([e["bbox"] for e in entries], dtype=np.float64).reshape(-1, 4)
    objects = Objects(
        np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
        np.array([label[e["category_id"]] for e in entries], dtype=np.int64),
        np.array([e["iscrowd"] for e in entries], dtype=np.bool_),
        np.array([e["area"] for e in entries], dtype=np.float64),
        np.array([e["id"] for e in entries], dtype=np.int64),
    )
    owners = np.array([position[e["image_id"]] for e in entries], dtype=np.int64)
    order = np.argsort(owners, kind="stable")
    counts = np.bincount(owners, minlength=len(images))
    return objects[order], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _tolerated(
    entries: list[Entry],
    images: tuple[ImageEntry, ...],
    objects: Objects,
    offsets: NDArray[np.int64],
    classes: tuple[str, ...],
) -> list[Fault]:
    if not len(objects):
        return [Fault("no_boxes", 1, "no boxes at all")]
    sizes = np.array([(i.width, i.height) for i in images], dtype=np.float64)
    limits = np.repeat(sizes, np.diff(offsets), axis=0)
    shown = _Shown(images, objects, np.repeat(np.arange(len(images)), np.diff(offsets)))
    over = ((objects.boxes[:, :2] < -ROUNDING) | (objects.boxes[:, 2:] > limits + ROUNDING)).any(1)
    empty = (objects.boxes[:, 2:] <= objects.boxes[:, :2]).any(1)
    counted = [
        shown.fault("zero_size", "boxes of zero size, not trained on", np.flatnonzero(empty)),
        shown.fault(
            "reaching", "boxes reach outside their image, clipped in training", np.flatnonzero(over)
        ),
        _lacking("other_note", "annotations without 'iscrowd', taken as 0", "iscrowd", entries),
        _lacking(
            "placeholder_area",
            "annotations without 'area', or with one area for all, taken as the box's",
            "area",
            entries,
        ),
        _named_twice(images),
    ]
    faults = [replace(one, line=f"{one.count} {one.line}") for one in counted if one.count]
    kinds = objects.labels * 2 + objects.crowd
    faults += [
        shown.fault(one.kind, one.line, one.rows)
        for one in suspicions(shown.xywh, limits, shown.owners, kinds, objects.areas, len(images))
    ]
    absences = _absences(objects[~objects.crowd], classes)
    return [*faults, *(Fault("other_note", 1, line) for line in absences)]


@dataclass(frozen=True, eq=False)
class _Shown:
    """Objects as examples of faults; `owners`: (N,) the position of the image of each."""

    images: tuple[ImageEntry, ...]
    objects: Objects
    owners: NDArray[np.int64]

    @cached_property
    def xywh(self) -> NDArray[np.float64]:
        low, high = self.objects.boxes[:, :2], self.objects.boxes[:, 2:]
        return np.concatenate([low, high - low], 1)

    def fault(self, kind: FaultKind, line: str, rows: Iterable[int]) -> Fault:
        found = [int(row) for row in rows]
        return Fault(kind, len(found), line, tuple(map(self._box, found[:SHOWN])))

    def _box(self, row: int) -> str:
        numbers = ", ".join(f"{value:g}" for value in self.xywh[row].tolist())
        file_name = self.images[self.owners[row]].file_name
        return f"annotation {self.objects.ids[row]} of {file_name}: [{numbers}]"


def _lacking(kind: FaultKind, line: str, key: str, entries: list[Entry]) -> Fault:
    found = [f"annotation {entry['id']}" for entry in entries if key not in entry]
    return Fault(kind, len(found), line, tuple(found[:SHOWN]))


def _named_twice(images: tuple[ImageEntry, ...]) -> Fault:
    seen, again = set[str](), []
    for image in images:
        again += [f"image {image.id}: {image.file_name}"] if image.file_name in seen else []
        seen.add(image.file_name)
    line = "images name a file that another image names too"
    return Fault("one_file", len(again), line, tuple(again[:SHOWN]))


def _bounds(low: float, high: float) -> str:
    return f"{low:.0f} or more" if high >= LARGEST else f"{low:.0f} to {high:.0f}"


def _absences(objects: Objects, classes: tuple[str, ...]) -> list[str]:
    """Warnings of size bins and classes whose AP will be NaN."""
    lines = [
        f"no {name} objects (area {_bounds(low, high)}): their AP is NaN"
        for name, (low, high) in ((name, COCO_AREAS[name]) for name in BINS)
        if not ((objects.areas >= low) & (objects.areas <= high)).any()
    ]
    absent = [name for i, name in enumerate(classes) if not (objects.labels == i).any()]
    if absent:
        shown = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
        lines.append(f"{len(absent)} of {len(classes)} classes have no box: {shown}")
    return lines
