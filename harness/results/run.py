"""A run as it lies on disk, with everything derived from it. No model, no GPU."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from harness.errors import UserError
from harness.files import hash_file, read_json_lines
from harness.manifest.schema import Report
from harness.plan.cells import digest
from harness.records.frame import latest, to_frame
from harness.records.record import Record
from harness.records.store import read_records
from harness.results.ap.analysis import analyse_cell
from harness.results.ap.boxes import MAX_DETECTIONS
from harness.results.ap.store import load_or_make
from harness.results.ap.types import CellAnalysis
from harness.results.truth import Validation, find_validation
from harness.stages.detections_file import read_detections
from harness.stages.inputs import EvaluationInput, GroundTruth
from harness.stages.scoring import restrict

VERSION = 2  # of the analyses: another one makes those that were kept anew
PLANNED = {"suite", "profile", "detectors", "data", "data_fingerprint", "evaluate", "cells"}

Place = tuple[str, int]  # detector, seed
Json = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Run:
    """One run folder.

    Attributes:
        plan: its plan.json.
        environments: environment id -> content of its file.
        records: every line of records.jsonl, with raw samples; after each AP that was analysed,
            that of the manifest's own area ranges.
        frame: `harness.records.frame.to_frame` of them.
        analyses: of every cell whose detections could be read and scored again.
        training: lines of each train_log.jsonl.
        truth: ground truth of the validation images, None where it is gone or has changed.
        images: folder of the validation images, None where it is gone.
        annotations: the file that `truth` was read from.
        notes: what could not be derived, and why, one line each.
    """

    folder: Path
    plan: Json
    environments: Mapping[str, Json]
    records: tuple[Record, ...]
    frame: pd.DataFrame
    analyses: Mapping[Place, CellAnalysis]
    training: Mapping[Place, tuple[Json, ...]]
    truth: GroundTruth | None
    images: Path | None
    annotations: Path | None
    notes: tuple[str, ...]

    @property
    def run_id(self) -> str:
        return self.folder.name

    @property
    def detectors(self) -> tuple[str, ...]:
        """In the order of the suite."""
        return tuple(self.plan["detectors"])

    def analyses_of(self, detector: str) -> list[CellAnalysis]:
        """One per seed, in the order of seeds."""
        places = sorted(place for place in self.analyses if place[0] == detector)
        return [self.analyses[place] for place in places]

    def detections_file(self, detector: str, seed: int) -> Path:
        return cell_folder(self.folder, detector, seed) / "detections.json"


def read_run(folder: Path, *, data_root: str | None = None, resamples: int | None = None) -> Run:
    """Read a run folder and analyse what is new in it.

    Args:
        data_root: where the data lies now, if it was moved.
        resamples: of the images, in place of the run's.

    Raises:
        UserError: the folder holds no run, or its files cannot be read.
    """
    plan = read_plan(folder / "plan.json")
    records = read_records(folder / "records.jsonl") if _has_records(folder) else []
    validation = find_validation(plan, data_root)
    settings = _settings(plan, folder / "plan.json", resamples)
    notes = list(validation.notes)
    analyses = {}
    for place, record in _evaluated(records).items():
        made = _analyse(folder, place, record, validation, settings, plan)
        if isinstance(made, str):
            notes.append(f"{place[0]} seed {place[1]}: {made}")
            continue
        analyses[place], problem = made
        notes += [f"{place[0]} seed {place[1]}: {problem}"] if problem else []
    records = with_ranges(records, analyses, settings)
    training = {}
    for place, path in _logs(folder).items():
        try:
            training[place] = tuple(read_json_lines(path))
        except ValueError as error:
            notes.append(f"{place[0]} seed {place[1]}: {path.name} cannot be read ({error})")
    return Run(
        folder=folder,
        plan=plan,
        environments=_environments(folder),
        records=tuple(records),
        frame=to_frame(records),
        analyses=analyses,
        training=training,
        truth=validation.truth,
        images=validation.images,
        annotations=validation.annotations,
        notes=tuple(dict.fromkeys(notes)),
    )


def with_ranges(
    records: Sequence[Record], analyses: Mapping[Place, CellAnalysis], settings: Report
) -> list[Record]:
    """The records and, beside each AP, `ap_<name>` of every area range of the manifest."""
    of_ap = {id(record): place for place, record in _evaluated(list(records)).items()}
    result = []
    for record in records:
        result.append(record)
        analysis = analyses.get(of_ap.get(id(record), ("", -1)))
        if analysis is not None:
            result += [_of_range(record, analysis, *item) for item in settings.area_ranges.items()]
    return result


def _of_range(
    record: Record, analysis: CellAnalysis, name: str, bounds: tuple[float, float]
) -> Record:
    found = analysis.metrics[f"ap_{name}"]
    behind = {"boxes": found.count, "object_images": found.images}
    conditions = {**record.conditions, "area_range": list(bounds), **behind}
    return replace(record, metric=f"ap_{name}", value=found.value, conditions=conditions)


def cell_folder(folder: Path, detector: str, seed: int) -> Path:
    """Where a run keeps the files of a detector under one seed."""
    return folder / "cells" / detector / f"seed{seed}"


def _has_records(folder: Path) -> bool:
    return (folder / "records.jsonl").is_file()


def _evaluated(records: list[Record]) -> dict[Place, Record]:
    """The AP record of each cell that was evaluated."""
    return {
        (r.detector, r.seed): r
        for r in latest(records)
        if r.stage == "evaluate" and r.metric == "ap" and r.scope == ""
    }


def _analyse(
    folder: Path,
    place: Place,
    record: Record,
    validation: Validation,
    settings: Report,
    plan: Json,
) -> tuple[CellAnalysis, str] | str:
    """The analysis and a note on keeping it, or why there is none."""
    truth, path = validation.truth, cell_folder(folder, *place) / "detections.json"
    if truth is None:
        return "no intervals: the ground truth is not there"
    if record.conditions.get("annotations_sha256") != truth.sha256:
        return "no intervals: the annotation file has changed since"
    if not path.is_file():
        return "no intervals: its detections are not there"
    limit = record.conditions.get("max_detections", MAX_DETECTIONS)
    if limit != MAX_DETECTIONS:
        return (
            f"no intervals: they are of {MAX_DETECTIONS} detections per image, this AP of {limit}"
        )
    chosen = truth.image_ids[: plan["evaluate"]["max_images"]]
    resize = record.conditions.get("input") or _old_resize(plan["detectors"][place[0]])
    inputs = [hash_file(path), truth.sha256, len(chosen), resize, VERSION]
    key = digest([*inputs, settings.model_dump(exclude={"gallery"})])

    def make() -> CellAnalysis:
        given = restrict(EvaluationInput(truth, read_detections(path, truth)), chosen)
        return analyse_cell(given, resize, settings)

    try:
        return load_or_make(path.with_name("analysis.json"), key, make)
    except UserError as error:
        return f"no intervals: {error}"


def _old_resize(detector: Json) -> Json | None:
    """Of runs that did not record it: assembled detectors squash, of whole ones it is unknown."""
    if "detector" in detector["parts"]:
        return None
    height, width = detector["input"]["size"]
    return {"kind": "squash", "height": height, "width": width}


def _settings(plan: Json, where: Path, resamples: int | None) -> Report:
    changes = {} if resamples is None else {"resamples": resamples}
    try:
        return Report.model_validate({**plan.get("report", {}), **changes})
    except ValidationError as error:
        raise UserError(f"has no usable 'report' ({error})", where=where) from error


def _environments(folder: Path) -> dict[str, Json]:
    files = sorted((folder / "environments").glob("*.json"), key=lambda p: p.stat().st_mtime)
    return {path.stem: _read_json(path, "") for path in files}


def _logs(folder: Path) -> dict[Place, Path]:
    found = {}
    for path in sorted(folder.glob("cells/*/seed*/train_log.jsonl")):
        seed = path.parent.name.removeprefix("seed")
        if seed.isdecimal():
            found[path.parent.parent.name, int(seed)] = path
    return found


def read_plan(path: Path) -> Json:
    """A run's plan.json.

    Raises:
        UserError: it is not there, or not one.
    """
    plan = _read_json(path, "a run folder has one")
    missing = PLANNED - set(plan) if isinstance(plan, dict) else PLANNED
    if missing:
        raise UserError(f"is not a run's plan: it lacks {', '.join(sorted(missing))}", where=path)
    return plan


def _read_json(path: Path, hint: str) -> Json:
    try:
        content: Json = json.loads(path.read_bytes())
    except OSError as error:
        found = f"cannot be read: {error.strerror or error}"
        raise UserError(found, where=path, hint=hint) from error
    except ValueError as error:
        raise UserError(f"is not JSON ({error})", where=path) from error
    return content
