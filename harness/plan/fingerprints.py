"""The cells of a plan, and what determines the numbers of each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import __version__
from harness.errors import UserError
from harness.files import hash_file
from harness.manifest.reader import Place, inside
from harness.manifest.schema import PRECISIONS, DetectorSpec, Train
from harness.plan.cells import (
    FILE_SEED,
    USUAL_MODE,
    Cell,
    Plan,
    digest_encoded,
    encode_items,
    is_quantized,
    name_mode,
    split_mode,
)
from harness.plugin.declarations import Stage

# of `train`: what determines no number, and what `TrainingParts` has complete
NOT_IN_FINGERPRINT = {
    "workers", "cache_gib", "log_every", "evaluate_every", "evaluate_images",
    "optimizer", "schedule", "augment",
}  # fmt: skip


def list_cells(plan: Plan, place: Place) -> tuple[Cell, ...]:
    """The cells of a plan that has all but them.

    Raises:
        UserError: a file of weights or detections is not there.
    """
    measured = [
        (stage, mode, encode_items(_stage_identity(plan, stage, mode)))
        for stage, mode in _stages_and_modes(plan)
    ]
    cells = []
    for name, detector in plan.suite.detectors.items():
        own = encode_items(detector_identity(plan, name, inside(place, "detectors", name)))
        for seed in (FILE_SEED,) if detector.detections is not None else plan.suite.seeds:
            seeded = {**own, **encode_items({"seed": seed})}
            for stage, mode, of_stage in measured:
                if detector.goes_through(stage):
                    fingerprint = digest_encoded({**seeded, **of_stage})
                    cells.append(Cell(name, seed, stage, fingerprint, mode))
    return tuple(cells)


def detector_identity(plan: Plan, name: str, place: Place = str) -> dict[str, Any]:
    """What of a detector determines its numbers, whatever the seed and the stage.

    Raises:
        UserError: a file of weights or detections is not there.
    """
    detector = plan.suite.detectors[name]
    common = {"harness": __version__, "data": plan.data_fingerprint}
    if detector.detections is not None:
        hint = "the path of a file in COCO's result format"
        return {**common, "detections": _hash(detector, "detections", hint, place)}
    return {
        **common,
        "parts": {role: part.identity() for role, part in plan.parts[name].items()},
        "input": detector.input.model_dump(),
        "weights": [
            _hash(detector, key, "the path of a weights file", place)
            for key in ("checkpoint", "backbone_checkpoint")
        ],
        "train": detector.train.model_dump(exclude=NOT_IN_FINGERPRINT | _unsaid(detector.train)),
        "training": plan.training[name].identity(),
    }


def _hash(detector: DetectorSpec, key: str, hint: str, place: Place) -> str | None:
    path = getattr(detector, key)
    try:
        return None if path is None else hash_file(Path(path))
    except OSError as error:
        found = f"'{path}' cannot be read: {error.strerror}"
        if not Path(path).is_absolute():
            hint = f"{hint}, from {Path.cwd()}"
        raise UserError(found, where=place((key,)), hint=hint) from error


def _unsaid(train: Train) -> set[str]:
    """Keys whose values say what was so before there were such keys."""
    return {"background"} if train.background == "drop" else set()


def _stages_and_modes(plan: Plan) -> list[tuple[Stage, str]]:
    """In the order in which a detector goes through them."""
    return [
        (stage, mode)
        for stage in plan.suite.stages
        for mode in (_with_precisions(plan) if stage == "latency" else ("",))
    ]


def _with_precisions(plan: Plan) -> Sequence[str]:
    """Each pair once, the one that tables show first."""
    chosen = plan.suite.latency.precisions
    precisions = PRECISIONS if chosen == "all" else chosen
    return list(dict.fromkeys(name_mode(m, p) for m in plan.modes for p in precisions))


def _stage_identity(plan: Plan, stage: Stage, mode: str) -> dict[str, Any]:
    """What of a stage determines its numbers, whatever the detector."""
    identity = {
        "stage": stage,
        "meters": [meter.identity() for meter in plan.meters_of(stage)],
        "protocol": _protocol(plan, stage, mode),
    }
    if mode in ("", USUAL_MODE):
        return identity
    checked_by = [meter.identity() for meter in plan.score_meters]
    return {**identity, "mode": plan.modes[split_mode(mode)[0]].identity(), "check": checked_by}


def _protocol(plan: Plan, stage: Stage, mode: str) -> dict[str, Any] | None:
    evaluated = plan.suite.evaluate.model_dump(exclude={"workers", "cache_gib", "batch_size"})
    if stage == "evaluate":
        return evaluated
    if stage != "latency":
        return None
    quantized = is_quantized(plan.modes, mode)
    unused = {"modes", "precisions"}
    unused |= set() if quantized else {"calibration_images"}
    # the usual mode is what others are checked against, and a quantised one has a score of its own
    unused |= {"check_images"} if quantized or mode == USUAL_MODE else set()
    settings = {**plan.suite.latency.model_dump(exclude=unused), "mode": mode}
    return {**settings, "evaluate": evaluated} if quantized else settings
