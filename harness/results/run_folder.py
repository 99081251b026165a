"""Reads a run's folder, and analyses detections that were not analysed before."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from threading import Lock

from pydantic import ValidationError

from harness.data.folder import CocoFolder
from harness.errors import UserError
from harness.files import hash_file, read_json_lines
from harness.manifest.schema import Report
from harness.plan.cells import digest
from harness.plugin.catalog import Catalog
from harness.plugin.metrics import NAME, NAMING, Scoring
from harness.records import layout
from harness.records.about import read_about
from harness.records.measurement import Measurement
from harness.records.record import Record
from harness.records.store import latest, read_run_records
from harness.results.ap.analysis import analyse_cell, load_or_make
from harness.results.ap.boxes import MAX_DETECTIONS
from harness.results.ap.types import CellAnalysis
from harness.results.run import Json, Place, Run, known_metrics
from harness.stages.collecting import collector_paused
from harness.stages.detections_file import read_detections
from harness.stages.inputs import EvaluationInput, GroundTruth
from harness.stages.metrics import MODE_SCORE
from harness.stages.scoring import read_ground_truth, restrict

VERSION = 3  # of the analyses: those that another one kept are made again
AT_ONCE = 2  # cells or runs that are read: each takes some hundred MB
_READING = Lock()
ModePlace = tuple[str, int, str]  # detector, seed, mode, "" of the evaluation itself
PLANNED = {"suite", "profile", "detectors", "data", "data_fingerprint", "evaluate", "cells"}


def read_run(folder: Path, *, data_root: str | None = None, resamples: int | None = None) -> Run:
    """Read a run folder and analyse what is new in it.

    Args:
        data_root: where the data lies now, if it was moved.
        resamples: of the images, in place of the run's.

    Raises:
        UserError: the folder holds no run, one of an older version, or its files cannot be read.
    """
    run = read_numbers(folder)
    settings = report_settings(run.plan, folder / layout.PLAN, resamples)
    catalog = run.catalog.with_ranges(settings.area_ranges)
    truth, images, annotations, notes = find_validation(run.plan, data_root)
    evaluated = _evaluated(run.latest, catalog)
    cells = [(detector, seed, "") for detector, seed in evaluated]
    cells += [cell for cell in _quantized(run) if cell[:2] in evaluated]

    def analyse(cell: ModePlace) -> tuple[CellAnalysis | None, str]:
        return _analyse(run, cell, evaluated[cell[:2]], truth, settings, catalog)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(cells, pool.map(analyse, cells), strict=True))
    notes += [
        f"{detector} seed {seed}{f' {mode}' if mode else ''}: {why}"
        for (detector, seed, mode), (_, why) in found.items()
        if why
    ]
    made = {cell: analysis for cell, (analysis, _) in found.items() if analysis is not None}
    analyses = {cell[:2]: analysis for cell, analysis in made.items() if not cell[2]}
    training = {}
    for detector, seed, log in layout.cells_with(folder, layout.TRAIN_LOG):
        try:
            training[detector, seed] = tuple(read_json_lines(log))
        except ValueError as error:
            notes.append(f"{detector} seed {seed}: {log.name} cannot be read ({error})")
    records = _with_ranges(run, analyses, settings, catalog)
    return replace(
        run,
        records=tuple(records),
        catalog=catalog,
        analyses=analyses,
        mode_analyses={cell: analysis for cell, analysis in made.items() if cell[2]},
        training=training,
        truth=truth,
        images=images,
        annotations=annotations,
        notes=tuple(
            dict.fromkeys(
                [*notes, *_unmeasured(records, catalog), *_undeclared(records, catalog, folder)]
            )
        ),
    )


def read_numbers(folder: Path) -> Run:
    """A run folder as it was written: no intervals over images, and nothing of the data is read.

    Raises:
        UserError: as of `read_run`.
    """
    plan = read_plan(folder / layout.PLAN)
    return Run(
        folder=folder,
        plan=plan,
        records=tuple(read_run_records(folder)),
        catalog=_catalog(plan, folder / layout.PLAN),
        environments=_environments(folder),
        about=read_about(folder),
    )


def open_run(path: Path, resamples: int | None = None) -> Run:
    """A run folder, or a file or folder of records without the plan of their run.

    Raises:
        UserError: it cannot be read.
    """
    if (path / layout.PLAN).is_file():
        return read_run(path, resamples=resamples)
    records = read_run_records(path)
    catalog = known_metrics()
    plan = {"detectors": dict.fromkeys(record.detector for record in records)}
    notes = [f"{path}: there is no plan, which says what was scored: no intervals of scores"]
    notes += _undeclared(records, catalog, path)
    folder = path if path.is_dir() else path.parent
    return Run(folder, plan, tuple(records), catalog, notes=tuple(notes))


def read_plan(path: Path) -> Json:
    """A run's plan.json.

    Raises:
        UserError: it is not there, not one, or of an older version.
    """
    plan = _read_json(path, "a run folder has one")
    missing = PLANNED - set(plan) if isinstance(plan, dict) else PLANNED
    if missing:
        raise UserError(f"is not a run's plan: it lacks {', '.join(sorted(missing))}", where=path)
    if plan.get("format") != layout.FORMAT:
        made = plan.get("format", 1)  # 0.3 and older wrote none
        if made == 1:
            found, hint = "was made by harness 0.3 or older", "harness 0.3 reads it"
        elif made == 2:
            found, hint = "was made by a harness between 0.3 and 0.4", "run it again"
        else:
            found, hint = "was made by a newer harness", "update this one"
        raise UserError(found, where=path, hint=hint)
    return plan


def find_validation(
    plan: Json, data_root: str | None = None
) -> tuple[GroundTruth | None, Path | None, Path | None, list[str]]:
    """Ground truth, images and annotations of a run's validation split, and notes on what is gone.

    Args:
        data_root: a COCO-format folder in place of the one that the run used.

    Raises:
        UserError: `data_root` has no such split, or its annotations are broken.
    """
    if data_root is not None:
        split = CocoFolder(data_root).split("val")
        return read_ground_truth(split.annotations), split.images, split.annotations, []
    places = plan.get("splits", {}).get("val")
    if places is None:
        return None, None, None, ["plan.json does not say where the validation data is"]
    images, annotations = Path(places["images"]), Path(places["annotations"])
    try:
        changed = annotations.stat().st_mtime_ns if annotations.is_file() else 0
        with _READING:  # of two threads that want it, one reads it
            truth = _truth(annotations, changed)
    except UserError as error:
        return None, None, None, [f"the validation data cannot be read: {error}"]
    if not images.is_dir():
        return truth, None, annotations, [f"the validation images are not at {images}"]
    return truth, images, annotations, []


@lru_cache(maxsize=2)
def _truth(annotations: Path, changed: int) -> GroundTruth:
    """Read once for all runs that are compared on it, unless the file has changed since."""
    with collector_paused():
        return read_ground_truth(annotations)


def _catalog(plan: Json, path: Path) -> Catalog:
    """What is installed; of other metrics, what the run kept of their declarations.

    What a figure is computed of is as the run kept it: params of its meter may have decided it.
    """
    try:
        kept = Catalog.from_json(plan["metrics"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"has no usable 'metrics' ({error})", where=path) from error
    joined = known_metrics().joined(kept)
    own = {name: replace(joined.specs[name], scoring=s.scoring) for name, s in kept.specs.items()}
    return replace(joined, specs={**joined.specs, **own})


def _unmeasured(records: Sequence[Record], catalog: Catalog) -> Iterator[str]:
    """Why nothing could be measured of a metric, where its meter says so."""
    of: dict[str, list[Record]] = {}
    for record in latest(records):
        if record.kind == "measurement":
            of.setdefault(record.metric, []).append(record)
    for metric, own in of.items():
        if all(math.isnan(record.value) for record in own):
            title = catalog.spec(metric).title
            found = (one for record in own for one in record.warnings if one.level == "invalid")
            yield from (f"{title}: {catalog.word(one)}" for one in found)


def _undeclared(records: Sequence[Record], catalog: Catalog, path: Path) -> Iterator[str]:
    """A note on metrics that nobody declares.

    Raises:
        UserError: one has a name that no metric can have.
    """
    unknown = {r.metric for r in records if r.kind == "measurement"} - set(catalog.specs)
    for name in unknown:
        if not NAME.fullmatch(name):
            raise UserError(f"holds a metric '{name}'", where=path, hint=NAMING)
    if unknown:
        names = ", ".join(sorted(unknown))
        yield f"nobody declares what {names} is: shown as recorded (is its plugin installed?)"


def _evaluated(records: Iterable[Record], catalog: Catalog) -> dict[Place, Record]:
    """A score of each cell that was evaluated, which says under which conditions."""
    scored = {spec.name for spec in catalog.specs.values() if spec.scoring is not None}
    found: dict[Place, Record] = {}
    for record in records:
        if record.metric in scored and record.scope == "" and record.stage == "evaluate":
            found.setdefault((record.detector, record.seed), record)
    return found


def _quantized(run: Run) -> list[ModePlace]:
    """Modes that were checked and whose detections were kept."""
    checks = (record for record in run.latest if record.metric == MODE_SCORE)
    cells = dict.fromkeys((check.detector, check.seed, check.mode) for check in checks)
    return [cell for cell in cells if run.detections_file(*cell).is_file()]


def _with_ranges(
    run: Run, analyses: Mapping[Place, CellAnalysis], settings: Report, catalog: Catalog
) -> list[Record]:
    """The records and, behind each ranged score, that of every area range of the manifest."""
    current = {id(record) for record in run.latest}
    result = []
    for record in run.records:
        result.append(record)
        spec = catalog.specs.get(record.metric)
        analysis = analyses.get((record.detector, record.seed))
        if not spec or not spec.ranged or record.scope or not analysis:
            continue
        if id(record) not in current:
            continue
        for name, bounds in settings.area_ranges.items():
            metric = spec.of_range(name).name
            if metric in analysis.metrics:
                found = analysis.metrics[metric]
                behind = {"boxes": found.count, "object_images": found.images}
                conditions = {**record.conditions, "area_range": list(bounds), **behind}
                result.append(
                    replace(record, metric=metric, value=found.value, conditions=conditions)
                )
    return result


def _analyse(
    run: Run,
    cell: ModePlace,
    record: Record,
    truth: GroundTruth | None,
    settings: Report,
    catalog: Catalog,
) -> tuple[CellAnalysis | None, str]:
    """The analysis, and why there is none or why it could not be kept, "" without a problem."""
    path = run.detections_file(*cell)
    if truth is None:
        return None, "no intervals: the ground truth is not there"
    if record.conditions.get("annotations_sha256") != truth.sha256:
        return None, "no intervals: the annotation file has changed since"
    if not path.is_file():
        return None, "no intervals: its detections are not there"
    limit = record.conditions.get("max_detections", MAX_DETECTIONS)
    chosen = truth.image_ids[: run.plan["evaluate"]["max_images"]]
    resize = record.conditions.get("input")
    asked = {name: vars(scoring) for name, scoring in _scorings(catalog).items()}
    inputs = [hash_file(path), truth.sha256, len(chosen), resize, asked, limit, VERSION]
    key = digest([*inputs, settings.model_dump(exclude={"gallery"})])

    def make() -> CellAnalysis:
        with collector_paused():
            given = restrict(EvaluationInput(truth, read_detections(path, truth)), chosen)
            return analyse_cell(given, resize, settings, _scorings(catalog), limit)

    try:
        return load_or_make(path.with_name(layout.analysis_name(cell[2])), key, make)
    except UserError as error:
        return None, f"no intervals: {error}"


def analyse_file(
    given: EvaluationInput, measured: Sequence[Measurement], settings: Report, catalog: Catalog
) -> CellAnalysis | None:
    """The analysis of detections that are in no run, None where no score was measured of them."""
    scorings = _scorings(catalog)
    scored = next((m for m in measured if m.metric in scorings and not m.scope), None)
    if scored is None:
        return None
    limit = scored.conditions.get("max_detections", MAX_DETECTIONS)
    with collector_paused():
        return analyse_cell(given, None, settings, scorings, limit)


def _scorings(catalog: Catalog) -> dict[str, Scoring]:
    return {s.name: s.scoring for s in catalog.specs.values() if s.scoring is not None}


def report_settings(plan: Json, where: Path, resamples: int | None) -> Report:
    """What a plan says of its report.

    Args:
        resamples: in place of the plan's own.

    Raises:
        UserError: it is not what the manifest's grammar allows.
    """
    changes = {} if resamples is None else {"resamples": resamples}
    try:
        return Report.model_validate({**plan.get("report", {}), **changes})
    except ValidationError as error:
        raise UserError(f"has no usable 'report' ({error})", where=where) from error


def _environments(folder: Path) -> dict[str, Json]:
    files = (folder / layout.ENVIRONMENTS).glob("*.json")
    ordered = sorted(files, key=lambda path: path.stat().st_mtime)
    return {path.stem: _read_json(path, "") for path in ordered}


def _read_json(path: Path, hint: str) -> Json:
    try:
        content: Json = json.loads(path.read_bytes())
    except OSError as error:
        found = f"cannot be read: {error.strerror or error}"
        raise UserError(found, where=path, hint=hint) from error
    except ValueError as error:
        raise UserError(f"is not JSON ({error})", where=path) from error
    return content
