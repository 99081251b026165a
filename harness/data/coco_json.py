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
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unicodedata import category as character_category

import numpy as np

from harness.data.faults import DataError, FaultKind, OnMistake, refuse
from harness.data.splits import NOTES, climbs_out
from harness.data.suspicions import placeholder_areas
from harness.data.tidying import tidy
from harness.errors import UserError

Entry = dict[str, Any]
Check = Callable[[str, Entry], None]  # of an entry at a place
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
    return check_document(parse_coco(path), path)


def check_document(
    document: Any, path: Path, on_mistake: OnMistake = refuse
) -> tuple[dict[str, list[Entry]], tuple[str, ...]]:
    """As `read_with_notes`, of what a file holds.

    Args:
        path: of the file, for errors.
        on_mistake: called with each mistake. Where it returns, the entry is left out, and where
            the lists themselves are wrong all lists are empty.
    """
    if not _has_lists(document, path, on_mistake):
        return {key: [] for key in LISTS}, ()
    lists, notes = tidy({key: document[key] for key in LISTS})
    check = _Checker(path, on_mistake)
    categories = check.good(lists, "categories", check.category)
    images = check.good(lists, "images", check.image_name, check.image_size)
    annotations = check.good(
        lists, "annotations", check.owner, check.label, check.box, check.crowd, check.area
    )
    owners, labels = ({entry["id"] for entry in one} for one in (images, categories))
    whole = [a for a in annotations if a["image_id"] in owners and a["category_id"] in labels]
    lists = {"categories": categories, "images": images}
    lists["annotations"] = _without_placeholders(whole)
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


def _has_lists(document: Any, path: Path, on_mistake: OnMistake) -> bool:
    needs = f"needs {', '.join(LISTS)}"
    if not isinstance(document, dict):
        on_mistake(DataError("format", f"holds {_kind(document)}, not an object", where=path,
                             hint=needs))  # fmt: skip
        return False
    good = True
    for key in LISTS:
        place, mistake = f"{path} {key}", None
        if key not in document:
            mistake = DataError("format", f"has no '{key}'", where=path, hint=needs)
        elif not isinstance(document[key], list):
            found = f"is {_kind(document[key])}"
            mistake = DataError("format", found, where=place, hint="needs a list")
        elif not document[key] and key != "annotations":
            kind: FaultKind = "no_images" if key == "images" else "format"
            mistake = DataError(kind, "is empty", where=place, hint="needs at least one")
        if mistake is not None:
            on_mistake(mistake)
            good = False
    return good


def parse_coco(path: Path) -> Any:
    """What a file holds, not checked.

    Raises:
        UserError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(
            "labels",
            f"cannot be read: {error.strerror}",
            where=path,
            hint="needs a COCO-format file",
        ) from error
    except json.JSONDecodeError as error:
        raise DataError(
            "labels",
            f"is not JSON, or truncated: {error.msg}",
            where=f"{path}:{error.lineno}:{error.colno}",
            hint="needs a whole COCO-format file",
        ) from error
    except (ValueError, RecursionError) as error:
        # not text, a number with thousands of digits, thousands of nested lists
        raise DataError(
            "labels",
            f"is not JSON: {type(error).__name__}",
            where=path,
            hint="needs a COCO-format file",
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

    def __init__(self, path: Path, on_mistake: OnMistake) -> None:
        self.path, self.on_mistake = path, on_mistake
        self.seen: dict[str, set[Any]] = {key: set() for key in (*LISTS, "name")}
        self.sizes: dict[int, tuple[int, int]] = {}  # of the images, by id

    def fail(self, place: str, found: str, hint: str, kind: FaultKind = "format") -> DataError:
        return DataError(kind, found, where=f"{self.path} {place}", hint=hint)

    def good(self, lists: dict[str, list[Entry]], key: str, *checks: Check) -> list[Entry]:
        """The entries of a list that pass all checks; each mistake of the others is reported."""
        every: tuple[Check, ...] = (partial(self.own_id, key), *checks)
        return [
            entry for n, entry in enumerate(lists[key]) if self.passes(f"{key}[{n}]", entry, every)
        ]

    def passes(self, place: str, entry: Any, checks: Sequence[Check]) -> bool:
        if not isinstance(entry, dict):
            self.on_mistake(self.fail(place, f"is {_kind(entry)}", "needs an object"))
            return False
        passed = True
        for check in checks:
            try:
                check(place, entry)
            except UserError as mistake:
                self.on_mistake(mistake)
                passed = False
        return passed

    def own_id(self, key: str, place: str, entry: Entry) -> None:
        self.unique(place, key, "id", self.whole(place, entry, "id"))

    def unique(self, place: str, group: str, key: str, value: Any) -> None:
        if value in self.seen[group]:
            found = f"{key} {_kind(value)} occurs twice"
            raise self.fail(place, found, "each needs its own", "repeated_id")
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

    def category(self, place: str, entry: Entry) -> None:
        self.unique(place, "name", "name", self.text(place, entry, "name"))

    def image_size(self, place: str, entry: Entry) -> None:
        for key in ("width", "height"):
            if self.whole(place, entry, key) < 1:
                raise self.fail(place, f"{key} is {entry[key]}", "needs at least 1 pixel")
        if isinstance(entry.get("id"), int):
            self.sizes.setdefault(entry["id"], (entry["width"], entry["height"]))

    def image_name(self, place: str, entry: Entry) -> None:
        name = self.text(place, entry, "file_name")
        if climbs_out(name):
            found = f"file_name {_kind(name)} climbs out of the image folder"
            raise self.fail(place, found, "needs a name inside it", "file_name")
        if len(os.fsencode(name)) > 4000:
            found = f"file_name {_kind(name)} is too long"
            raise self.fail(place, found, "needs a file's name", "file_name")

    def owner(self, place: str, entry: Entry) -> None:
        place = _named(place, entry)
        if self.whole(place, entry, "image_id") not in self.seen["images"]:
            found = f"image_id {entry['image_id']} is not an image of the file"
            raise self.fail(place, found, "needs one of them", "unknown_image")

    def label(self, place: str, entry: Entry) -> None:
        place = _named(place, entry)
        if self.whole(place, entry, "category_id") not in self.seen["categories"]:
            found = f"category_id {entry['category_id']} is unknown"
            known = ", ".join(map(str, sorted(self.seen["categories"])[:12])) or "none"
            hint = f"there is: {known}"
            raise self.fail(place, found, hint, "unknown_category")

    def crowd(self, place: str, entry: Entry) -> None:
        if entry.get("iscrowd", 0) not in (0, 1):
            found = f"iscrowd is {_kind(entry['iscrowd'])}"
            raise self.fail(_named(place, entry), found, "needs 0 or 1")

    def area(self, place: str, entry: Entry) -> None:
        place = _named(place, entry)
        if "area" not in entry or self.number(place, "area", entry["area"]) >= 0:
            return
        box = entry.get("bbox")
        if not (
            isinstance(box, list) and any(isinstance(v, float | int) and v < 0 for v in box[2:])
        ):
            # else it is the box's own, which has been told of
            raise self.fail(place, f"area is {entry['area']}", "needs 0 or more")

    def box(self, place: str, entry: Entry) -> None:
        place = _named(place, entry)
        box = self.value(place, entry, "bbox", "[x, y, width, height]")
        if not isinstance(box, list) or len(box) != 4:
            raise self.fail(place, f"bbox is {_kind(box)}", "needs [x, y, width, height]")
        x, y, w, h = (self.number(place, "bbox", value) for value in box)
        if w < 0 or h < 0:
            found = f"bbox {box} has a negative size"
            raise self.fail(place, found, "needs width, height >= 0", "box_size")
        owner = entry.get("image_id")
        size = self.sizes.get(owner) if isinstance(owner, int) else None
        if size is None:
            return  # told of its image_id, or of the image
        if x > size[0] or y > size[1] or x + w < 0 or y + h < 0:
            found = f"bbox {box} lies outside its image of {size[0]}x{size[1]}"
            raise self.fail(place, found, "needs pixels of the image", "outside")


def _named(place: str, entry: Entry) -> str:
    return f"{place} (id {_kind(entry.get('id'))})"
