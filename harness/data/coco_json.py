"""Reads a COCO-format JSON file and finds what is wrong with it. No torch here.

Errors, because they cannot be interpreted: a file that is not a JSON object; a missing
list or key; no image or no category; a value of the wrong type; NaN and infinity; an id that
occurs twice (images, categories) or a class name that does; an annotation of an
absent image or an unknown category; a box of negative size or wholly outside its image; a
negative area; a file name that climbs out of the image folder.

Tolerated, and counted in `Annotations.warnings`: what `harness.data.tidying` normalises; what
`harness.data.suspicions` finds; a box of zero size (official COCO has some); a box that reaches
over the edge of its image; annotations without `iscrowd` or `area`, or with one area for boxes of
several sizes; several entries for one file; size bins and classes without a box; no boxes at all.
"""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from unicodedata import category as character_category

import numpy as np

from harness.data.splits import NOTES
from harness.data.suspicions import placeholder_areas
from harness.data.tidying import tidy
from harness.errors import UserError

Entry = dict[str, Any]
LISTS = ("images", "annotations", "categories")
ID_LIMIT = 2**63


def read_coco(path: Path) -> dict[str, list[Entry]]:
    """The lists of `read_with_notes`."""
    return read_with_notes(path)[0]


def read_with_notes(path: Path) -> tuple[dict[str, list[Entry]], tuple[str, ...]]:
    """Read and check a file; what has one right reading is read so (`harness.data.tidying`).

    Returns:
        the lists "images", "annotations" and "categories"; what was normalised,
        one line each.

    Raises:
        UserError: with the file, the entry, what was found and what is needed.
    """
    document = _read_lists(path)
    lists, notes = tidy({key: document[key] for key in LISTS})
    check = _Checker(path)
    categories = [check.category(*item) for item in check.entries(lists, "categories")]
    images = {i["id"]: i for i in (check.image(*item) for item in check.entries(lists, "images"))}
    for place, entry in check.entries(lists, "annotations"):
        check.annotation(place, entry, images, set(categories))
    lists = {**lists, "annotations": _without_placeholders(lists["annotations"])}
    return lists, (*map(str, document.get(NOTES, ())), *notes)


def _without_placeholders(entries: list[Entry]) -> list[Entry]:
    """Without `area` where it is one number for all boxes; `fill_defaults` takes the boxes'."""
    if not all("area" in entry for entry in entries):
        return entries
    boxes = np.array([entry["bbox"] for entry in entries], np.float64).reshape(-1, 4)
    if not placeholder_areas(boxes, np.array([entry["area"] for entry in entries], np.float64)):
        return entries
    return [{k: v for k, v in entry.items() if k != "area"} for entry in entries]


def fill_defaults(entry: Entry) -> Entry:
    """An annotation as pycocotools needs it: `iscrowd` 0 and `area` the box's where absent."""
    return {"iscrowd": 0, "area": entry["bbox"][2] * entry["bbox"][3], **entry}


def _read_lists(path: Path) -> dict[str, Any]:
    document = _parse(path)
    if not isinstance(document, dict):
        raise UserError(
            f"holds {_kind(document)}, not an object", where=path, hint=f"needs {', '.join(LISTS)}"
        )
    for key in LISTS:
        if key not in document:
            raise UserError(f"has no '{key}'", where=path, hint=f"needs {', '.join(LISTS)}")
        if not isinstance(document[key], list):
            raise UserError(
                f"is {_kind(document[key])}", where=f"{path} {key}", hint="needs a list"
            )
        if not document[key] and key != "annotations":
            raise UserError("is empty", where=f"{path} {key}", hint="needs at least one")
    return document


def _parse(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(
            f"cannot be read: {error.strerror}", where=path, hint="needs a COCO-format file"
        ) from error
    except json.JSONDecodeError as error:
        raise UserError(
            f"is not JSON, or truncated: {error.msg}",
            where=f"{path}:{error.lineno}:{error.colno}",
            hint="needs a whole COCO-format file",
        ) from error
    except (ValueError, RecursionError) as error:
        # not text, a number with thousands of digits, thousands of nested lists
        raise UserError(
            f"is not JSON: {type(error).__name__}", where=path, hint="needs a COCO-format file"
        ) from error


def _kind(value: Any) -> str:
    """A value as an error shows it, however long it is."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else f"a list of {len(value)}"
    try:
        shown = repr(value)
    except ValueError:  # an integer of more digits than Python prints
        shown = "a huge number"
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


class _Checker:
    """Checks of one file's entries; remembers the ids that it has seen."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: dict[str, set[Any]] = {key: set() for key in (*LISTS, "name")}

    def fail(self, place: str, found: str, hint: str) -> UserError:
        return UserError(found, where=f"{self.path} {place}", hint=hint)

    def entries(self, lists: dict[str, list[Entry]], key: str) -> Iterator[tuple[str, Entry]]:
        """(place, entry) of a list, with types and ids checked."""
        for position, entry in enumerate(lists[key]):
            place = f"{key}[{position}]"
            if not isinstance(entry, dict):
                raise self.fail(place, f"is {_kind(entry)}", "needs an object")
            self.whole(place, entry, "id")
            self.unique(place, key, "id", entry["id"])
            yield place, entry

    def unique(self, place: str, group: str, key: str, value: Any) -> None:
        if value in self.seen[group]:
            raise self.fail(place, f"{key} {_kind(value)} occurs twice", "each needs its own")
        self.seen[group].add(value)

    def value(self, place: str, entry: Entry, key: str, needs: str) -> Any:
        if key not in entry:
            raise self.fail(place, f"has no '{key}'", f"needs {needs}")
        return entry[key]

    def whole(self, place: str, entry: Entry, key: str) -> int:
        value = self.value(place, entry, key, "a whole number")
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= ID_LIMIT:
            raise self.fail(place, f"{key} is {_kind(value)}", "needs a whole number")
        return value

    def text(self, place: str, entry: Entry, key: str) -> str:
        value = self.value(place, entry, key, "a name")
        unwritable = isinstance(value, str) and any(
            character_category(c) in ("Cc", "Cs") for c in value
        )
        if not isinstance(value, str) or not value.strip() or unwritable:
            raise self.fail(place, f"{key} is {_kind(value)}", "needs a printable name")
        return value

    def number(self, place: str, key: str, value: Any) -> float:
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        if not plain or abs(value) >= ID_LIMIT or not math.isfinite(value):
            raise self.fail(place, f"{key} is {_kind(value)}", "needs a finite number")
        return float(value)

    def category(self, place: str, entry: Entry) -> int:
        self.unique(place, "name", "name", self.text(place, entry, "name"))
        return int(entry["id"])

    def image(self, place: str, entry: Entry) -> Entry:
        self.file_name(place, self.text(place, entry, "file_name"))
        for key in ("width", "height"):
            self.whole(place, entry, key)
            if entry[key] < 1:
                raise self.fail(place, f"{key} is {entry[key]}", "needs at least 1 pixel")
        return entry

    def file_name(self, place: str, name: str) -> None:
        """The name must stay inside the folder, on POSIX and on Windows."""
        paths = (PurePosixPath(name), PureWindowsPath(name))
        if any(path.is_absolute() or ".." in path.parts for path in paths):
            raise self.fail(
                place,
                f"file_name {_kind(name)} climbs out of the image folder",
                "needs a name inside it",
            )
        if len(os.fsencode(name)) > 4000:
            raise self.fail(place, f"file_name {_kind(name)} is too long", "needs a file's name")

    def annotation(
        self, place: str, entry: Entry, images: dict[int, Entry], categories: set[int]
    ) -> None:
        place = f"{place} (id {entry['id']})"
        image = images.get(self.whole(place, entry, "image_id"))
        if image is None:
            raise self.fail(
                place,
                f"image_id {entry['image_id']} is not an image of the file",
                "needs one of them",
            )
        if self.whole(place, entry, "category_id") not in categories:
            known = ", ".join(map(str, sorted(categories)[:12])) or "none"
            raise self.fail(
                place, f"category_id {entry['category_id']} is unknown", f"there is: {known}"
            )
        self.box(place, entry, image)
        if entry.get("iscrowd", 0) not in (0, 1):
            raise self.fail(place, f"iscrowd is {_kind(entry['iscrowd'])}", "needs 0 or 1")
        if "area" in entry and self.number(place, "area", entry["area"]) < 0:
            raise self.fail(place, f"area is {entry['area']}", "needs 0 or more")

    def box(self, place: str, entry: Entry, image: Entry) -> None:
        box = self.value(place, entry, "bbox", "[x, y, width, height]")
        if not isinstance(box, list) or len(box) != 4:
            raise self.fail(place, f"bbox is {_kind(box)}", "needs [x, y, width, height]")
        x, y, w, h = (self.number(place, "bbox", value) for value in box)
        if w < 0 or h < 0:
            raise self.fail(place, f"bbox {box} has a negative size", "needs width, height >= 0")
        if x > image["width"] or y > image["height"] or x + w < 0 or y + h < 0:
            raise self.fail(
                place,
                f"bbox {box} lies outside its image of {image['width']}x{image['height']}",
                "needs pixels of the image",
            )
