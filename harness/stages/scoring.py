"""Scoring of a detections file, without a model and without torch."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import compress
from pathlib import Path

from harness.data.coco_json import fill_defaults, read_coco
from harness.data.tidying import TEXT_ID
from harness.files import sha256_of
from harness.records.measurement import Measurement
from harness.stages.collecting import collector_paused
from harness.stages.detections_file import Detection, check_detections, read_detections
from harness.stages.inputs import EvaluationInput, EvaluationMeter, GroundTruth

TRUTH_KEYS = ("image_id", "category_id", "bbox", "area", "iscrowd")


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
    with collector_paused():
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
        sha256_of(path),
        tuple((image["height"], image["width"]) for image in lists["images"]),
        tuple(image["file_name"] for image in lists["images"]),
        tuple(image.get(TEXT_ID, "") for image in lists["images"]),
    )


def restrict(given: EvaluationInput, image_ids: Sequence[int] | None) -> EvaluationInput:
    """The same input on some of its images."""
    if image_ids is None or tuple(image_ids) == given.ground_truth.image_ids:
        return given
    kept, truth = frozenset(image_ids), given.ground_truth
    chosen = [image in kept for image in truth.image_ids]
    part = replace(
        truth,
        image_ids=tuple(compress(truth.image_ids, chosen)),
        annotations=tuple(a for a in truth.annotations if a["image_id"] in kept),
        image_sizes=tuple(compress(truth.image_sizes, chosen)),
        file_names=tuple(compress(truth.file_names, chosen)),
        text_ids=tuple(compress(truth.text_ids, chosen)),
    )
    return EvaluationInput(part, tuple(d for d in given.detections if d["image_id"] in kept))
