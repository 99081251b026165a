"""Detections of another tool: class ids that are one off, and what makes a file doubtful."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.plugin.metrics import Finding, Level
from harness.records.measurement import Measurement
from harness.stages.detections_file import (
    Detection,
    check_detections,
    count_best_on_objects,
    count_on_objects,
    parse,
    with_image_ids,
)
from harness.stages.inputs import EvaluationInput, GroundTruth
from harness.stages.scoring import restrict

OFF = (-1, 1)  # Ultralytics numbers classes from 1 whatever its labels do, others from 0
SURELY = 10  # times as many boxes on objects of their class
FEW_IMAGES = 0.1  # a smaller share of images may well be without detections
FEW_OBJECTS = 0.05  # the share of objects below which boxes hardly can be meant so
LEAST = 20  # boxes on objects, from which on their class says something


def read_detected_elsewhere(
    path: Path, truth: GroundTruth, image_ids: Sequence[int] | None = None
) -> tuple[tuple[Detection, ...], tuple[Finding, ...]]:
    """Read another tool's file in COCO's result format.

    Class ids that are all one too high or too low are put right where only that fits: because there
    are no such classes else and more boxes then lie on objects of their class, or because there are
    several classes and ten times as many do.

    Args:
        image_ids: those on which the detections are scored; None for all.

    Returns:
        the detections, and what was put right or makes them doubtful; `METRICS` words it.

    Raises:
        UserError: as `read_detections`.
    """
    content, findings, file = parse(path), [], path.name
    if isinstance(content, list) and all(isinstance(entry, Mapping) for entry in content):
        content = with_image_ids(content, truth, path)
        shift, counts = _shift(content, truth)
        if shift:
            content = [{**e, "category_id": e["category_id"] + shift} for e in content]
            findings.append(Finding("class_ids_off", "remark", {"file": file, **counts}))
    found = check_detections(content, truth, where=path)
    scored = restrict(EvaluationInput(truth, found), image_ids)
    return found, (*findings, *doubts(scored.detections, scored.ground_truth, file))


def with_findings(
    measured: Sequence[Measurement], findings: Sequence[Finding]
) -> list[Measurement]:
    """What a file makes doubtful is so of each number that rests on it."""
    return [replace(one, warnings=(*one.warnings, *findings)) for one in measured]


def _shift(content: Sequence[Detection], truth: GroundTruth) -> tuple[int, dict[str, Any]]:
    """What to add to each class id, 0 as a rule, and the numbers that speak for it."""
    ids: list[Any] = [entry.get("category_id") for entry in content]
    if any(type(one) is not int for one in ids):
        return 0, {}
    given, known = set(ids), truth.categories.keys()
    unknown = not known >= given
    fit = [shift for shift in OFF if known >= {one + shift for one in given}]
    # a detector may well take all objects for one class, which is no mistake of the file
    if not fit or not (unknown or len(given) > 1):
        return 0, {}

    def on_own(shift: int) -> int:
        shifted = [{**entry, "category_id": entry["category_id"] + shift} for entry in content]
        try:
            return count_on_objects(shifted, truth, own_class=True)
        except (KeyError, TypeError):  # entries that are not whole: the check says which
            return 0

    own, (best, shift) = on_own(0), max((on_own(shift), shift) for shift in fit)
    if best < SURELY * max(own, 1) and not (unknown and best > own):
        return 0, {}
    less = "less" if shift < 0 else "more"
    return shift, {"less": less, "boxes": len(content), "shifted": best, "as_given": own}


def doubts(found: Sequence[Detection], truth: GroundTruth, file: str) -> Iterator[Finding]:
    """What speaks against a file that is correct in its form."""
    if not found:
        return  # which is told of any detector
    boxes = np.array([one["bbox"] for one in found])
    objects = {one["image_id"] for one in truth.annotations}
    without = len(objects - {one["image_id"] for one in found})
    if without:
        level: Level = "doubtful" if without > FEW_IMAGES * len(objects) else "remark"
        counts = {"without": without, "images": len(objects)}
        yield Finding("images_without", level, {"file": file, **counts})
    if boxes.max() <= 1:
        yield Finding("fractions", params={"file": file})
        return
    if truth.image_sizes:
        sizes = dict(zip(truth.image_ids, truth.image_sizes, strict=True))
        ends = np.array([sizes[one["image_id"]][::-1] for one in found])
        # tools clip their boxes, but for roundings
        over = int((boxes[:, :2] + boxes[:, 2:] > 1.05 * ends + 1).any(axis=1).sum())
        if over > len(found) / 4:
            yield Finding("corners", params={"file": file, "over": over, "boxes": len(found)})
            return
    placed = count_best_on_objects(found, truth)
    on_objects = placed.total()
    if on_objects < FEW_OBJECTS * len(truth.annotations):
        counts = {"objects": len(truth.annotations), "placed": on_objects}
        yield Finding("boxes_elsewhere", params={"file": file, **counts})
        return
    wrong = _mostly_wrong(placed)
    if wrong:
        names = ", ".join(f"{key} {truth.categories[key]}" for key in wrong[:12])
        counts = {
            "placed": sum(count for (_, given), count in placed.items() if given in wrong),
            "own": sum(placed[key, key] for key in wrong),
        }
        yield Finding("other_classes", params={"file": file, "classes": names, **counts})


def _mostly_wrong(placed: Counter[tuple[int, int]]) -> list[int]:
    """Classes whose boxes lie on objects of others: some, or all if too few of each are known.

    Args:
        placed: (the object's class, that of its box) -> how many objects.
    """
    given: Counter[int] = Counter()
    for (_, of_box), count in placed.items():
        given[of_box] += count
    own = {key: placed[key, key] for key in given}
    if given.total() >= LEAST and sum(own.values()) < given.total() / 4:
        return sorted(given)
    return sorted(key for key, count in given.items() if count >= LEAST and own[key] < count / 4)
