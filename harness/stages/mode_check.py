"""Before a mode is timed: does it find what eager float32 finds?"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.data.batch import Inputs
from harness.data.resize import collate_images
from harness.errors import CellError
from harness.model.types import Detections
from harness.modes.runner import Runner
from harness.plugin.metrics import Finding
from harness.records.measurement import Measurement
from harness.stages.agreement import (
    SAME_BOX,
    TOLERANCES,
    Tolerance,
    measure_agreement,
    split_images,
)
from harness.stages.detections_file import Detection, write_detections
from harness.stages.evaluate import coco_results
from harness.stages.inputs import EvaluationMeter
from harness.stages.metrics import MODE_AGREEMENT, MODE_SCORE
from harness.stages.scoring import evaluate


@dataclass(frozen=True, eq=False)
class CheckData:
    """What a mode is checked on.

    Attributes:
        images: (3, h, w) uint8 RGB in the host's memory.
        image_ids: of the images, in the annotation file.
        category_ids: dataset id of each label.
        annotations: the file.
        meters: those that write `score`; without any, it is not compared.
        score: the metric that is compared.
        trained: False for random weights. All scores are alike then, rounding decides which
            detections are kept, and what would be a failure is a warning.
        quantized: the mode is another detector, with a score of its own: nothing is required.
        detections: where what the mode finds is kept, None where it is not.
    """

    images: Sequence[Tensor]
    image_ids: Sequence[int]
    category_ids: Sequence[int]
    annotations: Path
    meters: Sequence[EvaluationMeter]
    score: str
    trained: bool = True
    quantized: bool = False
    detections: Path | None = None


def check_mode(
    runner: Runner, eager: Runner, data: CheckData, batch_size: int
) -> list[Measurement]:
    """Run both on the same images and compare what they find.

    Returns:
        `mode_agreement` and, where the suite measures AP, `ap_check`.

    Raises:
        CellError: they differ by more than `harness.stages.agreement` allows, or one of them finds
            what is not finite.
    """
    tolerance = TOLERANCES[runner.precision]
    batches = [
        (ids, _detect(runner, inputs, len(ids), "this mode"), _detect(eager, inputs, len(ids)))
        for inputs, ids in _batches(eager, data, batch_size)
    ]
    agreement = measure_agreement(
        [found for _, ours, _ in batches for found in split_images(ours)],
        [found for _, _, theirs in batches for found in split_images(theirs)],
        tolerance.score,
    )
    found_by_mode = [(ids, ours) for ids, ours, _ in batches]
    if data.detections is not None:
        write_detections(data.detections, _results(found_by_mode, data))
    ap = _ap(found_by_mode, data)
    ap_eager = _ap([(ids, theirs) for ids, _, theirs in batches], data)
    problem = "" if data.quantized else _find_problem(tolerance, agreement, ap, ap_eager)
    if problem and data.trained:
        images = len(data.images)
        raise CellError(f"does not find what eager finds on {images} images: {problem}")
    warnings = []
    if problem:
        told = {"images": len(data.images), "problem": problem}
        warnings.append(Finding("mode_differs", params=told))
    if not data.meters:
        warnings.append(Finding("mode_without_score"))
    found = _measurements(tolerance, agreement, ap, ap_eager, data)
    return [replace(m, warnings=tuple(warnings)) for m in found]


def score_of(checked: Sequence[Measurement]) -> dict[str, Any]:
    """What a latency record of a quantised mode says of the mode's own AP."""
    found = next((m for m in checked if m.metric == MODE_SCORE), None)
    if found is None:
        return {}
    about = found.conditions
    return {MODE_SCORE: found.value, "ap_eager": about["ap_eager"], "ap_images": about["images"]}


def _batches(runner: Runner, data: CheckData, size: int) -> Iterator[tuple[Inputs, Sequence[int]]]:
    """uint8 batches and the ids of their images; the last is filled up with the first images."""
    count = len(data.images)
    for start in range(0, count, size):
        chosen = [data.images[(start + i) % count] for i in range(size)]
        resized = [runner.detector.resize(image) for image in chosen]
        yield collate_images(resized), data.image_ids[start : start + size]


def _detect(runner: Runner, inputs: Inputs, count: int, who: str = "eager") -> Detections:
    found = runner.detect_pixels(inputs.to(runner.device)).to("cpu")
    if not (torch.isfinite(found.boxes).all() and torch.isfinite(found.scores).all()):
        raise CellError(f"detections of {who} are not finite")
    return Detections(
        found.boxes[:count], found.scores[:count], found.labels[:count], found.counts[:count]
    )


def _ap(batches: Sequence[tuple[Sequence[int], Detections]], data: CheckData) -> float:
    """NaN where no meter writes it, and without ground truth in these images."""
    if not data.meters:
        return math.nan
    measured = evaluate(data.annotations, _results(batches, data), data.meters, data.image_ids)
    return next((m.value for m in measured if (m.metric, m.scope) == (data.score, "")), math.nan)


def _results(
    batches: Sequence[tuple[Sequence[int], Detections]], data: CheckData
) -> list[Detection]:
    return [
        result for ids, found in batches for result in coco_results(found, ids, data.category_ids)
    ]


def _find_problem(tolerance: Tolerance, agreement: float, ap: float, ap_eager: float) -> str:
    """Which limits are passed, with both figures; "" where none is."""
    problems = []
    if agreement < tolerance.agreement:
        problems.append(f"agreement {agreement:.4f} where {tolerance.agreement:g} is required")
    # an eager AP of 0 says nothing, NaN neither
    if ap_eager > 0 and not ap_eager - ap <= tolerance.ap_drop:
        allowed = f"{100 * tolerance.ap_drop:g} lower at most"
        problems.append(f"AP {100 * ap:.2f} where eager has {100 * ap_eager:.2f} ({allowed})")
    return "; ".join(problems)


def _measurements(
    tolerance: Tolerance, agreement: float, ap: float, ap_eager: float, data: CheckData
) -> Iterator[Measurement]:
    images = len(data.images)
    required = {} if data.quantized else vars(tolerance)
    asked = {"images": images, "same_box": SAME_BOX, "score": tolerance.score, **required}
    yield Measurement(MODE_AGREEMENT, agreement, count=images, conditions=asked)
    if data.meters:
        asked = {"quantized": True} if data.quantized else {"ap_drop": tolerance.ap_drop}
        conditions = {"images": images, "ap_eager": ap_eager, **asked}
        yield Measurement(MODE_SCORE, ap, count=images, conditions=conditions)
