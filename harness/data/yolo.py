"""Ultralytics' YOLO format: data.yaml, images and a text file of boxes for each. No torch here.

A line of a label file is `class cx cy w h`, as fractions of the upright image; more numbers
are a polygon `class x1 y1 x2 y2 ...`. The label file of `.../images/a/b.jpg` is
`.../labels/a/b.txt`; an image without one is background.
"""

import math
import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from harness.data.faults import DataError, OnMistake
from harness.data.source import SplitName
from harness.data.splits import (
    SUFFIXES,
    Document,
    Found,
    read_bytes,
    read_lines,
    shared_folder,
    upright_size,
    with_test_split,
)
from harness.errors import UserError

KEYS: dict[SplitName, tuple[str, ...]] = {"train": ("train",), "val": ("val", "valid")}
Line = tuple[int, list[float]]  # class, and 4 numbers of a box or more of a polygon
SLACK = 0.01  # fractions beyond 0..1 that count as rounding


def find_splits(root: Path) -> tuple[Found, ...]:
    """The splits of a data.yaml, or of any other YAML file that has `names` and `train` or `val`.

    `test` stands for a `val` that is absent.

    Raises:
        UserError: data.yaml is broken, or names images that are not there.
    """
    for path in _yaml_files(root):
        settings = _settings(path)
        if settings is None:
            continue
        classes = _classes(path, settings["names"])
        train, val = (_split(path, settings, name, keys, classes) for name, keys in KEYS.items())
        find_test = partial(_split, path, settings, "val", ("test",), classes)
        return with_test_split(train, val, find_test)
    return ()


def _yaml_files(root: Path) -> list[Path]:
    files = sorted([*root.glob("*.yaml"), *root.glob("*.yml")])
    return sorted(files, key=lambda path: path.stem not in ("data", "dataset"))


def _settings(path: Path) -> dict[str, Any] | None:
    try:
        document = yaml.safe_load(read_bytes(path))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else path
        hint = "needs train, val and names"
        raise DataError("labels", "is not YAML", where=place, hint=hint) from error
    there = isinstance(document, dict) and "names" in document and {"train", "val"} & set(document)
    return document if there else None


def _classes(path: Path, names: Any) -> dict[int, str]:
    pairs = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(pairs, dict) or not pairs or not all(type(key) is int for key in pairs):
        raise DataError("format", "is not a list or numbered names", where=f"{path} names")
    return {key: str(pairs[key]) for key in sorted(pairs)}


def _split(
    path: Path,
    settings: dict[str, Any],
    name: SplitName,
    keys: Iterable[str],
    classes: dict[int, str],
) -> Found | None:
    given = next((settings[key] for key in keys if settings.get(key)), None)
    if given is None:
        return None
    entries = given if isinstance(given, list) else [given]
    images = [image for entry in entries for image in _images(path, settings, str(entry))]
    if not images:
        raise DataError("no_images", f"'{given}' holds no image", where=f"{path} {name}")
    folder, labels = shared_folder(images), [_label_file(image) for image in images]
    there = tuple(label for label in labels if label.is_file())

    def convert(on_mistake: OnMistake) -> str:
        return _document(folder, images, classes, on_mistake).encoded()

    return Found(name, folder, path, there, tuple(images), convert)


def _images(path: Path, settings: dict[str, Any], entry: str) -> list[Path]:
    """Images of one entry: a folder, or a text file with a path on each line."""
    place = _place(path, str(settings.get("path") or "."), entry)
    if place.is_dir():
        return sorted(p for p in place.rglob("*") if p.suffix.lower() in SUFFIXES)
    listed = [line.strip().replace("\\", "/") for line in read_lines(place) if line.strip()]
    return [Path(os.path.normpath(place.parent / line)) for line in listed]


def _place(path: Path, base: str, entry: str) -> Path:
    """Where an entry lies: below `path:` of data.yaml, else below the folder of data.yaml itself.

    Exports write paths of the machine or folder they come from (`path: ../datasets/x`,
    `train: ../train/images`); what lies beside data.yaml is then meant.
    """
    root, inner = path.parent, entry.replace("\\", "/").removeprefix("../")
    for place in (root / base / entry, root / entry, root / inner):
        if place.exists():
            return Path(os.path.normpath(place))
    looked_in = " and ".join(dict.fromkeys(map(str, (root / base, root))))
    hint = f"needs a folder or list of images; looked in {looked_in}"
    raise DataError("labels", f"'{entry}' is not there", where=path, hint=hint)


def _label_file(image: Path) -> Path:
    parts = list(image.with_suffix(".txt").parts)
    for level in range(len(parts) - 2, -1, -1):
        if parts[level] == "images":
            parts[level] = "labels"
            break
    return Path(*parts)


def _document(
    folder: Path, images: list[Path], classes: dict[int, str], on_mistake: OnMistake
) -> Document:
    document = Document([{"id": key, "name": name} for key, name in classes.items()])
    polygons = 0
    for image in images:
        try:
            width, height = upright_size(image)
            lines = list(_lines(_label_file(image), classes, on_mistake))
        except UserError as mistake:
            on_mistake(mistake)
            continue
        document.add_image(image.relative_to(folder).as_posix(), (width, height))
        for label, values in lines:
            polygons += len(values) > 4
            x1, y1, x2, y2 = _corners(values)
            box = (x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height)
            document.add_box(label, box)
    if polygons:
        document.notes.append(f"{polygons} polygons, replaced by their bounding boxes")
    return document


def _lines(labels: Path, classes: dict[int, str], on_mistake: OnMistake) -> Iterator[Line]:
    """The lines of a label file; empty without one."""
    for number, line in enumerate(read_lines(labels) if labels.is_file() else (), 1):
        if line.strip():
            try:
                yield _parse(f"{labels}:{number}", line, classes)
            except UserError as mistake:
                on_mistake(mistake)


def _parse(where: str, line: str, classes: dict[int, str]) -> Line:
    hint = "needs: class cx cy w h, as fractions of the image; or class x1 y1 x2 y2 ..."
    try:
        label, *values = (float(word) for word in line.split())
    except ValueError:
        raise DataError("format", f"is '{line.strip()[:60]}'", where=where, hint=hint) from None
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise DataError("format", f"has {len(values) + 1} numbers", where=where, hint=hint)
    if label not in classes:
        found, known = f"class {label:g} is not in 'names'", f"there is: {list(classes)}"
        raise DataError("unknown_category", found, where=where, hint=known)
    if not all(math.isfinite(v) and -SLACK <= v <= 1 + SLACK for v in values):
        found = f"is '{line.strip()[:60]}', beyond 0 to 1"
        raise DataError("outside", found, where=where, hint=hint)
    return int(label), values


def _corners(values: list[float]) -> tuple[float, float, float, float]:
    if len(values) > 4:
        return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
    cx, cy, w, h = values
    return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2
