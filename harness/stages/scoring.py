"""Scoring of a detections file, without a model and without torch."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.data.coco_json import fill_defaults, read_coco
from harness.errors import UserError
from harness.files import write_text
from harness.records.measurement import Measurement
from harness.stages.inputs import EvaluationInput, EvaluationMeter, GroundTruth

TRUTH_KEYS = ("image_id", "category_id", "bbox", "area", "iscrowd")
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
    """Read an annotation file as the evaluators take it.

    Raises:
        UserError: see `harness.data.coco_json`.
    """
    lists = read_coco(path)
    categories = sorted(lists["categories"], key=lambda category: int(category["id"]))
    annotations = (fill_defaults(entry) for entry in lists["annotations"])
    return GroundTruth(
        tuple(image["id"] for image in lists["images"]),
        {category["id"]: category["name"] for category in categories},
        tuple({key: entry[key] for key in TRUTH_KEYS} for entry in annotations),
        hashlib.sha256(path.read_bytes()).hexdigest(),
        tuple((image["height"], image["width"]) for image in lists["images"]),
    )


def read_detections(path: Path, truth: GroundTruth) -> tuple[Detection, ...]:
    """Read a file in COCO's result format and check it against the ground truth.

    Raises:
        UserError: unreadable, not JSON, not a list, an entry without a key, with an unknown
            image or category id, or with a box or score that is no finite number.
    """
    return check_detections(_parse(path), truth, where=path)


def write_detections(path: Path, detections: Sequence[Detection]) -> None:
    """Write the file whole or not at all; scores and boxes keep every digit.

    Raises:
        UserError: the folder cannot be written to or is full.
    """
    write_text(path, json.dumps(detections, allow_nan=False, separators=(",", ":")))


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
    chosen = [n for n, i in enumerate(truth.image_ids) if i in kept]
    part = GroundTruth(
        tuple(truth.image_ids[n] for n in chosen),
        truth.categories,
        tuple(a for a in truth.annotations if a["image_id"] in kept),
        truth.sha256,
        tuple(truth.image_sizes[n] for n in chosen) if truth.image_sizes else (),
    )
    return EvaluationInput(part, tuple(d for d in given.detections if d["image_id"] in kept))


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


def _parse(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", where=path) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"is not JSON ({error})", where=path, mend=FORM) from error
