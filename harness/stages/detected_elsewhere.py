"""Detections of another tool: class ids that are one off, and what makes a file doubtful."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.stages.detections_file import (
    Detection,
    check_detections,
    count_on_objects,
    parse,
    with_image_ids,
)
from harness.stages.inputs import GroundTruth

OFF = (-1, 1)  # Ultralytics numbers classes from 1 whatever its labels do, others from 0
SURELY = 10  # times as many boxes on objects of their class
FEW_IMAGES = 0.1  # a smaller share of images may well be without detections
LEAST = 20  # boxes on objects, from which on their classes say something


def read_detected_elsewhere(
    path: Path, truth: GroundTruth
) -> tuple[tuple[Detection, ...], tuple[str, ...]]:
    """Read another tool's file in COCO's result format.

    Class ids that are all one too high or too low are put right where only that fits: because there
    are no such classes else and more boxes then lie on objects of their class, or because there are
    several classes and ten times as many do.

    Returns:
        the detections, and notes: what was put right, and what the file makes doubtful.

    Raises:
        UserError: as `read_detections`.
    """
    content, notes = parse(path), []
    if isinstance(content, list) and all(isinstance(entry, Mapping) for entry in content):
        content = with_image_ids(content, truth, path)
        shift, note = _shift(content, truth)
        if shift:
            content = [{**e, "category_id": e["category_id"] + shift} for e in content]
            notes.append(f"{path.name}: {note}")
    found = check_detections(content, truth, where=path)
    notes += [f"{path.name}: {doubt}" for doubt in doubts(found, truth)]
    return found, tuple(notes)


def _shift(content: Sequence[Detection], truth: GroundTruth) -> tuple[int, str]:
    """What to add to each class id, 0 as a rule, and the note on it."""
    ids: list[Any] = [entry.get("category_id") for entry in content]
    if any(type(one) is not int for one in ids):
        return 0, ""
    given, known = set(ids), truth.categories.keys()
    unknown = not known >= given
    fit = [shift for shift in OFF if known >= {one + shift for one in given}]
    # a detector may well take all objects for one class, which is no mistake of the file
    if not fit or not (unknown or len(given) > 1):
        return 0, ""

    def on_own(shift: int) -> int:
        shifted = [{**entry, "category_id": entry["category_id"] + shift} for entry in content]
        try:
            return count_on_objects(shifted, truth, own_class=True)
        except (KeyError, TypeError):  # entries that are not whole: the check says which
            return 0

    own, (best, shift) = on_own(0), max((on_own(shift), shift) for shift in fit)
    if best < SURELY * max(own, 1) and not (unknown and best > own):
        return 0, ""
    less = "less" if shift < 0 else "more"
    return shift, (
        f"every category_id is taken as one {less}: of {len(content)} boxes {best} then lie on "
        f"objects of their class, as they stand {own}"
    )


def doubts(found: Sequence[Detection], truth: GroundTruth) -> Iterator[str]:
    """What speaks against a file that is correct in its form, a line each."""
    if not found:
        yield "holds no detections"
        return
    objects = {one["image_id"] for one in truth.annotations}
    without = len(objects - {one["image_id"] for one in found})
    if without > FEW_IMAGES * len(objects):
        yield f"no detections in {without} of {len(objects)} images with objects: is it whole?"
    boxes = np.array([one["bbox"] for one in found])
    if boxes.max() <= 1:
        yield "no box is longer than a pixel: fractions in place of pixels?"
        return
    if truth.image_sizes:
        sizes = dict(zip(truth.image_ids, truth.image_sizes, strict=True))
        ends = np.array([sizes[one["image_id"]][::-1] for one in found])
        # tools clip their boxes, but for roundings
        over = int((boxes[:, :2] + boxes[:, 2:] > 1.05 * ends + 1).any(axis=1).sum())
        if over > len(found) / 4:
            yield f"{over} of {len(found)} boxes end beyond their image: corners, not x, y, w, h?"
            return
    placed, own = (count_on_objects(found, truth, own_class=only) for only in (False, True))
    if placed >= LEAST and own < placed / 4:
        classes = ", ".join(f"{key} {name}" for key, name in list(truth.categories.items())[:12])
        yield (
            f"{placed} of {len(found)} boxes lie on objects, but only {own} on one of their class: "
            f"are the classes those of the annotations ({classes})?"
        )
