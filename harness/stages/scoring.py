"""Scoring of a detections file, without a model and without torch."""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.records.measurement import Measurement
from harness.stages.inputs import EvaluationInput, EvaluationMeter, GroundTruth

DETECTION_KEYS = ("image_id", "category_id", "bbox", "score")
FORM = "a list of {image_id, category_id, bbox: [x, y, w, h], score}, COCO's result format"

Detection = Mapping[str, Any]


def evaluate(
    annotations: Path,
    detections: Path | Sequence[Detection],
    meters: Iterable[EvaluationMeter],
    image_ids: Sequence[int] | None = None,
) -> list[Measurement]:
    """Score one set of detections with every meter.

    Args:
        annotations: ground truth, COCO's annotation format.
        detections: a file in COCO's result format, or its content.
        meters: see `inputs.EvaluationMeter`.
        image_ids: evaluate on these images alone; detections of the others are left out.

    Raises:
        UserError: a file that cannot be read or does not fit the annotations.
    """
    truth = read_ground_truth(annotations)
    if isinstance(detections, Path):
        found = read_detections(detections, truth)
    else:
        found = check_detections(detections, truth, where="detections")
    given = restrict(EvaluationInput(truth, found), image_ids)
    return [measurement for meter in meters for measurement in meter(given)]


def read_ground_truth(path: Path) -> GroundTruth:
    """Read what evaluation needs of an annotation file; its content is the data set's to check.

    Raises:
        UserError: the file cannot be read, is not JSON or not in COCO's annotation format.
    """
    raw = _read_bytes(path)
    content = _parse(raw, path)
    try:
        image_ids = tuple(int(image["id"]) for image in content["images"])
        named = {int(c["id"]): str(c["name"]) for c in content["categories"]}
        boxes = tuple(_ground_truth_box(a) for a in content["annotations"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(
            f"is not in COCO's annotation format ({type(error).__name__}: {error})",
            where=path,
            mend="an object with images, annotations and categories",
        ) from error
    _check_references(boxes, frozenset(image_ids), named, path)
    return GroundTruth(image_ids, dict(sorted(named.items())), boxes, _sha256(raw))


def read_detections(path: Path, truth: GroundTruth) -> tuple[Detection, ...]:
    """Read a file in COCO's result format and check it against the ground truth.

    Raises:
        UserError: unreadable, not JSON, not a list, an entry without a key, with an unknown
            image or category id, or with a box or score that is no finite number.
    """
    return check_detections(_parse(_read_bytes(path), path), truth, where=path)


def write_detections(path: Path, detections: Sequence[Detection]) -> None:
    """Write the file whole or not at all; scores and boxes keep every digit.

    Raises:
        UserError: the folder cannot be written to or is full.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8") as file:
            json.dump(detections, file, allow_nan=False, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror or error}", where=path) from error
    finally:
        _discard(partial)


def check_detections(content: Any, truth: GroundTruth, *, where: object) -> tuple[Detection, ...]:
    """Detections with the four keys alone; see `read_detections` for the errors."""
    if not isinstance(content, Sequence) or isinstance(content, str | bytes):
        raise UserError(f"holds {_kind(content)}, not a list", where=where, mend=FORM)
    images = frozenset(truth.image_ids)
    return tuple(
        _check_detection(entry, images, truth.categories, f"{where}[{index}]")
        for index, entry in enumerate(content)
    )


def restrict(given: EvaluationInput, image_ids: Sequence[int] | None) -> EvaluationInput:
    """The same input on some of its images."""
    if image_ids is None:
        return given
    kept, truth = frozenset(image_ids), given.ground_truth
    part = GroundTruth(
        tuple(i for i in truth.image_ids if i in kept),
        truth.categories,
        tuple(a for a in truth.annotations if a["image_id"] in kept),
        truth.sha256,
    )
    return EvaluationInput(part, tuple(d for d in given.detections if d["image_id"] in kept))


def _check_references(
    boxes: Sequence[Detection], images: frozenset[int], categories: Mapping[int, str], path: Path
) -> None:
    for index, box in enumerate(boxes):
        where = f"{path} annotations[{index}]"
        if box["image_id"] not in images:
            raise UserError(f"image_id {box['image_id']} is not among the images", where=where)
        if box["category_id"] not in categories:
            known = f"the file has {_some(list(categories))}"
            raise UserError(f"unknown category_id {box['category_id']}", where=where, mend=known)
        if not all(map(math.isfinite, (*box["bbox"], box["area"]))):
            raise UserError("bbox or area is not finite", where=where)


def _check_detection(
    entry: Any, images: frozenset[int], categories: Mapping[int, str], where: str
) -> Detection:
    if not isinstance(entry, Mapping):
        raise UserError(f"is {_kind(entry)}, not an object", where=where, mend=FORM)
    missing = [key for key in DETECTION_KEYS if key not in entry]
    if missing:
        raise UserError(f"has no {', '.join(missing)}", where=where, mend=FORM)
    image, category = entry["image_id"], entry["category_id"]
    if not _is_integer(image) or image not in images:
        mend = "the annotation file has no such image: is it the one of this split?"
        raise UserError(f"unknown image_id {image!r}", where=where, mend=mend)
    if not _is_integer(category) or category not in categories:
        mend = f"the annotation file has {_some(list(categories))}"
        raise UserError(f"unknown category_id {category!r}", where=where, mend=mend)
    return {
        "image_id": image,
        "category_id": category,
        "bbox": _check_box(entry["bbox"], where),
        "score": _check_score(entry["score"], where),
    }


def _check_box(box: Any, where: str) -> list[float]:
    if not isinstance(box, Sequence) or len(box) != 4 or not all(map(_is_finite, box)):
        raise UserError(f"bbox is {box!r}", where=where, mend="four finite numbers: x, y, w, h")
    if box[2] < 0 or box[3] < 0:
        raise UserError(f"bbox {list(box)!r} has a negative side", where=where, mend="x, y, w, h")
    return [float(side) for side in box]


def _check_score(score: Any, where: str) -> float:
    if not _is_finite(score):
        raise UserError(f"score is {score!r}", where=where, mend="a finite number")
    return float(score)


def _ground_truth_box(annotation: Mapping[str, Any]) -> dict[str, Any]:
    x, y, w, h = (float(side) for side in annotation["bbox"])
    return {
        "image_id": int(annotation["image_id"]),
        "category_id": int(annotation["category_id"]),
        "bbox": [x, y, w, h],
        "area": float(annotation.get("area", w * h)),
        "iscrowd": int(annotation.get("iscrowd", 0)),
    }


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _kind(value: Any) -> str:
    names = {dict: "an object", str: "a string", list: "a list", type(None): "null"}
    return names.get(type(value), repr(value))


def _some(values: list[int], limit: int = 12) -> str:
    shown = ", ".join(map(str, values[:limit])) or "no categories"
    return shown + (f", ... ({len(values)} in all)" if len(values) > limit else "")


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", where=path) from error


def _parse(raw: bytes, path: Path) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise UserError(f"is not JSON ({error})", where=path) from error


def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _discard(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # the error that led here is the one to tell
