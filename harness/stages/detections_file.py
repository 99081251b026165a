"""A file in COCO's result format: written, read and checked."""

import json
import math
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pydantic_core import from_json

from harness.data.boxes import Floats, pairwise_ious
from harness.errors import UserError
from harness.files import write_text
from harness.stages.inputs import GroundTruth

Detection = Mapping[str, Any]
KEYS = ("image_id", "category_id", "bbox", "score")
SHOWN = 12  # ids in an error
FORM = "a list of {image_id, category_id, bbox: [x, y, w, h], score}, COCO's result format"


def read_detections(path: Path, truth: GroundTruth) -> tuple[Detection, ...]:
    """Read a file in COCO's result format and check it against the ground truth.

    Raises:
        UserError: unreadable, not JSON, not a list, an entry without a key, with an unknown
            image or category id, with a name as id that several images have, or with a box or
            score that is not a finite number.
    """
    return check_detections(parse(path), truth, where=path)


def write_detections(path: Path, detections: Sequence[Detection]) -> None:
    """Write the file whole or not at all; scores and boxes keep every digit.

    Raises:
        UserError: the folder cannot be written to or is full.
    """
    write_text(path, json.dumps(detections, allow_nan=False, separators=(",", ":")))


def check_detections(content: Any, truth: GroundTruth, *, where: object) -> tuple[Detection, ...]:
    """Detections with the four keys alone; see `read_detections` for the errors.

    An `image_id` that is a text stands for a file (its path in the annotation file, its name, or
    its name without the ending, as tools write that do not know the annotation file's ids), or is
    the id as a text; it has to mean one image. Numbers are ids, unless they are none and all are
    names of files, as Ultralytics writes 12 for 0012.jpg. A `file_name` beside them, as its newer
    versions write, decides if every entry has one that names an image.

    Raises:
        UserError: also where numbers may be either, and more boxes lie on objects as names.
    """
    if not isinstance(content, Sequence) or isinstance(content, str | bytes):
        raise UserError(f"holds {_kind(content)}, not a list", where=where, hint=FORM)
    images = frozenset(truth.image_ids)
    content = with_image_ids(content, truth, where)
    if is_plain(content, images, truth.categories):
        return tuple(content)
    return tuple(
        _check_detection(entry, images, truth.categories, f"{where}[{index}]")
        for index, entry in enumerate(content)
    )


def with_image_ids(content: Sequence[Any], truth: GroundTruth, where: object) -> Sequence[Any]:
    """The same entries with image ids where names of files, or their numbers, stood."""
    named = [_by_file_name(entry) for entry in content]
    if truth.file_names and named and None not in named:
        names = _ids_by_name(truth)
        if all(len(names.get(one["image_id"], ())) == 1 for one in filter(None, named)):
            content = named
    return _with_ids(_of_numbered_files(content, truth, where), truth, where)


def _by_file_name(entry: Any) -> Detection | None:
    """With the name as id that Ultralytics writes beside a number; None where there is none."""
    name = entry.get("file_name") if isinstance(entry, Mapping) else None
    return {**entry, "image_id": name} if isinstance(name, str) else None


def _with_ids(content: Sequence[Any], truth: GroundTruth, where: object) -> Sequence[Any]:
    """The same entries with image ids where file names stood; unknown names stay as they are."""
    named = (isinstance(e, Mapping) and isinstance(e.get("image_id"), str) for e in content)
    if not truth.file_names or not any(named):
        return content
    ids = _ids_by_name(truth)
    return [_with_id(entry, ids, f"{where}[{index}]") for index, entry in enumerate(content)]


def _of_numbered_files(content: Sequence[Any], truth: GroundTruth, where: object) -> Sequence[Any]:
    """The same entries with image ids where the numbers of file names stood."""
    stems: dict[int, set[int]] = {}
    for image, file in zip(truth.image_ids, truth.file_names, strict=False):
        stem = PurePosixPath(file.replace("\\", "/")).stem
        if stem.isdecimal():
            stems.setdefault(int(stem), set()).add(image)
    if all(images == {number} for number, images in stems.items()):  # COCO's own, mostly
        return content
    if not all(isinstance(e, Mapping) and _is_integer(_image_of(e)) for e in content):
        return content
    given = set(map(_image_of, content))
    if any(len(stems.get(number, ())) != 1 for number in given):
        return content
    named = [{**e, "image_id": next(iter(stems[_image_of(e)]))} for e in content]
    if not given <= set(truth.image_ids):
        return named
    as_ids, as_names = (count_on_objects(entries, truth) for entries in (content, named))
    if as_names > as_ids:
        told = f"image_id may be an id or the number of a file name: {as_ids} boxes lie on objects"
        hint = 'write "0012" in place of 12 for 0012.jpg, the name without its ending, as a text'
        raise UserError(f"{told} by ids, {as_names} by names", where=where, hint=hint)
    return content


def _image_of(entry: Detection) -> Any:
    return _as_integer(entry.get("image_id"))


def count_on_objects(content: Sequence[Any], truth: GroundTruth, *, own_class: bool = False) -> int:
    """How many boxes overlap an object of the same image, of any or of their own class.

    By an IoU of a half.
    """
    objects, found = (_boxes(entries, own_class) for entries in (truth.annotations, content))
    return sum(
        int((pairwise_ious(boxes, objects[key]).max(axis=1) >= 0.5).sum())
        for key, boxes in found.items()
        if key in objects
    )


def count_best_on_objects(
    content: Sequence[Detection], truth: GroundTruth
) -> Counter[tuple[int, int]]:
    """Of the objects with a box on them, by an IoU of a half, the classes of object and best box.

    Returns:
        (the object's class, that of the box with the highest score) -> how many objects.
    """
    counted: Counter[tuple[int, int]] = Counter()
    objects, found = (_by_image(entries) for entries in (truth.annotations, content))
    for image, own in objects.items():
        boxes = sorted(found.get(image, ()), key=lambda entry: -entry["score"])
        if boxes:
            hits = pairwise_ious(_corners(own), _corners(boxes)) >= 0.5
            for one, row in zip(own, hits, strict=True):
                if row.any():
                    counted[one["category_id"], boxes[int(row.argmax())]["category_id"]] += 1
    return counted


def _by_image(entries: Iterable[Detection]) -> dict[int, list[Detection]]:
    images: dict[int, list[Detection]] = {}
    for entry in entries:
        images.setdefault(entry["image_id"], []).append(entry)
    return images


def _corners(entries: Sequence[Detection]) -> Floats:
    boxes = np.array([entry["bbox"] for entry in entries], np.float64)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def _boxes(entries: Sequence[Any], by_class: bool) -> dict[tuple[int, ...], Floats]:
    """Image id, or image and category id -> boxes as corners.

    Entries without a valid box are left to later checks.
    """
    keys = KEYS[: 1 + by_class]
    found: dict[tuple[int, ...], list[list[float]]] = {}
    for entry in entries:
        box = entry.get("bbox") if isinstance(entry, Mapping) else None
        if isinstance(box, Sequence) and len(box) == 4 and all(map(_is_finite, box)):
            x, y, w, h = box
            found.setdefault(tuple(entry[key] for key in keys), []).append([x, y, x + w, y + h])
    return {key: np.array(boxes, np.float64) for key, boxes in found.items()}


def _with_id(entry: Any, ids: Mapping[str, set[int]], where: str) -> Any:
    name = entry.get("image_id") if isinstance(entry, Mapping) else None
    if not isinstance(name, str) or name not in ids:
        return entry
    if len(ids[name]) > 1:
        hint = f"images {_some(sorted(ids[name]))}: write their ids, or their paths"
        raise UserError(f"image_id {name!r} names several images", where=where, hint=hint)
    return {**entry, "image_id": next(iter(ids[name]))}


def _ids_by_name(truth: GroundTruth) -> dict[str, set[int]]:
    """Image ids by path, name, stem and id as text; a path or id of the file means it alone."""
    ids: dict[str, set[int]] = {}
    paths: dict[str, set[int]] = {}
    for image, file in zip(truth.image_ids, truth.file_names, strict=True):
        path = PurePosixPath(file.replace("\\", "/"))
        paths.setdefault(file, set()).add(image)
        for name in (path.name, path.stem, str(image)):
            ids.setdefault(name, set()).add(image)
    own = {text: {image} for image, text in zip(truth.image_ids, truth.text_ids, strict=False)}
    return ids | paths | {text: image for text, image in own.items() if text}


def is_plain(content: Sequence[Any], images: frozenset[int], categories: Mapping[int, str]) -> bool:
    """Whether every entry is good and exactly as `_check_detection` would make it.

    So it is in a file of the harness's own, and looking at columns takes a tenth of the time.
    """
    if _types(content) - {dict} or set(map(len, content)) - {len(KEYS)}:
        return False
    try:
        image, category, boxes, scores = (list(map(itemgetter(key), content)) for key in KEYS)
    except KeyError:
        return False
    if _types(image, category) - {int} or _types(boxes) - {list}:
        return False
    if not (images.issuperset(image) and categories.keys() >= set(category)):
        return False
    if set(map(len, boxes)) - {4} or _types(chain.from_iterable(boxes), scores) - {float}:
        return False
    sides = np.fromiter(chain.from_iterable(boxes), np.float64, 4 * len(boxes)).reshape(-1, 4)
    finite = np.isfinite(sides).all() and np.isfinite(np.array(scores, np.float64)).all()
    return bool(finite and (sides[:, 2:] >= 0).all())


def _types(*columns: Any) -> set[type]:
    return set(map(type, chain(*columns)))


def _check_detection(
    entry: Any, images: frozenset[int], categories: Mapping[int, str], where: str
) -> Detection:
    if not isinstance(entry, Mapping):
        raise UserError(f"is {_kind(entry)}, not an object", where=where, hint=FORM)
    missing = [key for key in KEYS if key not in entry]
    if missing:
        raise UserError(f"has no {', '.join(missing)}", where=where, hint=FORM)
    image, category = _as_integer(entry["image_id"]), _as_integer(entry["category_id"])
    if not _is_integer(image) or image not in images:
        hint = (
            "the annotation file has no such image: is it that of this split, and of this data set "
            "(--data)?"
        )
        raise UserError(f"unknown image_id {image!r}", where=where, hint=hint)
    if not _is_integer(category) or category not in categories:
        named = [f"{key} {name}" for key, name in categories.items()]
        hint = f"the annotation file has {_some(named)}"
        raise UserError(f"unknown category_id {category!r}", where=where, hint=hint)
    return {
        "image_id": image,
        "category_id": category,
        "bbox": _check_box(entry["bbox"], where),
        "score": _check_score(entry["score"], where),
    }


def _check_box(box: Any, where: str) -> list[float]:
    if not isinstance(box, Sequence) or len(box) != 4 or not all(map(_is_finite, box)):
        raise UserError(f"bbox is {box!r}", where=where, hint="four finite numbers: x, y, w, h")
    if box[2] < 0 or box[3] < 0:
        raise UserError(f"bbox {list(box)!r} has a negative side", where=where, hint="x, y, w, h")
    return [float(side) for side in box]


def _check_score(score: Any, where: str) -> float:
    if not _is_finite(score):
        raise UserError(f"score is {score!r}", where=where, hint="a finite number")
    return float(score)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _as_integer(value: Any) -> Any:
    """An id that went through a table of floats as the integer that it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _kind(value: Any) -> str:
    names = {dict: "an object", str: "a string", list: "a list", type(None): "null"}
    return names.get(type(value), repr(value))


def _some(values: Sequence[object]) -> str:
    shown = ", ".join(map(str, values[:SHOWN])) or "no categories"
    return shown + (f", ... ({len(values)} in all)" if len(values) > SHOWN else "")


def parse(path: Path) -> Any:
    try:
        # pydantic's parser takes half of the time of json's
        return from_json(path.read_bytes().removeprefix(BOM_UTF8))
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", where=path) from error
    except ValueError as error:
        raise UserError(f"is not JSON ({error})", where=path, hint=FORM) from error
