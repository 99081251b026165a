"""A run as it lies on disk, with everything derived from it. No model, no GPU."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.data.folder import CocoFolder
from harness.errors import UserError
from harness.files import hash_file, read_json_lines
from harness.manifest.schema import Report
from harness.plan.cells import digest
from harness.plugin.catalog import Catalog, declared
from harness.plugin.manager import loaded_plugins
from harness.plugin.metrics import NAME, NAMING, MetricSpec
from harness.plugin.registry import Registry
from harness.records import layout
from harness.records.record import Record
from harness.records.store import latest, read_run_records
from harness.results import difference, validity
from harness.results.ap.analysis import analyse_cell, load_or_make
from harness.results.ap.boxes import MAX_DETECTIONS
from harness.results.ap.types import CellAnalysis, Sampled
from harness.results.difference import Difference, find_difference
from harness.results.estimate import Estimate, make_estimate
from harness.stages.collecting import collector_paused
from harness.stages.detections_file import read_detections
from harness.stages.inputs import EvaluationInput, GroundTruth
from harness.stages.metrics import METRICS
from harness.stages.scoring import read_ground_truth, restrict

if TYPE_CHECKING:
    from pandas import DataFrame

VERSION = 3  # of the analyses: those that another one kept are made again
AT_ONCE = 2  # cells or runs that are read: each takes some hundred MB
_READING = Lock()
PLANNED = {"suite", "profile", "detectors", "data", "data_fingerprint", "evaluate", "cells"}
CLASS, MODE = "class/", "mode/"

Place = tuple[str, int]  # detector, seed
Json = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Run:
    """One run folder.

    Attributes:
        plan: its plan.json; of records by themselves, what they say of it.
        environments: environment id -> content of its file.
        records: of every cell, with raw samples; after each score that was analysed,
            that of the manifest's own area ranges.
        analyses: of every cell whose detections could be read and scored again.
        training: lines of each train_log.jsonl.
        truth: ground truth of the validation images, None where it is gone or has changed.
        images: folder of the validation images, None where it is gone.
        annotations: the file that `truth` was read from.
        notes: what could not be derived, and why, one line each.
        catalog: the metrics, and how warnings read.
    """

    folder: Path
    plan: Json
    records: tuple[Record, ...]
    catalog: Catalog
    environments: Mapping[str, Json] = field(default_factory=dict)
    analyses: Mapping[Place, CellAnalysis] = field(default_factory=dict)
    training: Mapping[Place, tuple[Json, ...]] = field(default_factory=dict)
    truth: GroundTruth | None = None
    images: Path | None = None
    annotations: Path | None = None
    notes: tuple[str, ...] = ()
    _made: dict[tuple[str, ...], Any] = field(default_factory=dict, repr=False, init=False)

    @property
    def run_id(self) -> str:
        return self.folder.resolve().name

    @property
    def detectors(self) -> tuple[str, ...]:
        """In the order of the suite."""
        return tuple(self.plan["detectors"])

    @cached_property
    def frame(self) -> "DataFrame":
        """`harness.records.frame.to_frame` of the records."""
        from harness.records.frame import to_frame

        return to_frame(self.records)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Metrics of the main table: those that the suite asks for and that were measured."""
        ranked = [spec.name for spec in self.catalog.specs.values() if spec.role]
        return tuple(m for m in self.plan.get("columns", ranked) if self.has(m))

    @cached_property
    def measured(self) -> tuple[Record, ...]:
        """The measurements that count: of each cell's last good attempt."""
        return tuple(r for r in latest(self.records) if r.kind == "measurement")

    @cached_property
    def _index(self) -> Mapping[tuple[str, str, str], Sequence[Record]]:
        """(detector, metric, scope) -> one record per seed."""
        index: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
        for record in self.measured:
            index[record.detector, record.metric, record.scope].append(record)
        return index

    @cached_property
    def _with_samples(self) -> Mapping[str, Sequence[Record]]:
        """Detector -> its records that carry samples: other metrics may rest on them."""
        found: dict[str, list[Record]] = defaultdict(list)
        for record in self.measured:
            if record.samples:
                found[record.detector].append(record)
        return found

    def metrics(self) -> list[MetricSpec]:
        """What was measured of whole detectors, in the order of the catalog."""
        there = dict.fromkeys(metric for _, metric, scope in self._index if not scope)
        known = [name for name in self.catalog.specs if name in there]
        return [self.spec(name) for name in [*known, *(n for n in there if n not in known)]]

    def spec(self, metric: str) -> MetricSpec:
        """The metric of this name; of one that nobody declares, what its records say of it."""
        if metric in self.catalog.specs:
            return self.catalog.specs[metric]
        record = next((r for r in self.measured if r.metric == metric), None)
        if record is None:
            return self.catalog.spec(metric)
        return self.catalog.spec(metric, record.unit, record.higher_is_better)

    def estimate(self, detector: str, metric: str, scope: str = "") -> Estimate:
        """A detector's number; without a value where it was not measured."""
        key = ("estimate", detector, metric, scope)
        if key not in self._made:
            records = self._index.get((detector, metric, scope), ())
            self._made[key] = self._estimate(detector, metric, scope, records)
        found: Estimate = self._made[key]
        return found

    def estimate_of(self, record: Record) -> Estimate:
        """A single measurement, of one seed."""
        return self._estimate(record.detector, record.metric, record.scope, [record])

    def difference(self, base: str, other: str, metric: str) -> Difference:
        """How a detector's number differs from another detector's."""
        key = ("difference", base, other, metric)
        if key not in self._made:
            sides = self.estimate(base, metric), self.estimate(other, metric)
            self._made[key] = find_difference(*sides, same_detector=base == other)
        found: Difference = self._made[key]
        return found

    def has(self, metric: str) -> bool:
        """Whether any detector has a value."""
        return any(self.estimate(name, metric).is_there for name in self.detectors)

    def ranked(self, role: str) -> list[MetricSpec]:
        """Metrics by which detectors are ranked, as "score" or "cost", of those measured."""
        return [spec for spec in self.catalog.ranked(role) if self.has(spec.name)]

    def analyses_of(self, detector: str) -> list[CellAnalysis]:
        """One per seed, in the order of seeds."""
        places = sorted(place for place in self.analyses if place[0] == detector)
        return [self.analyses[place] for place in places]

    def detections_file(self, detector: str, seed: int) -> Path:
        return layout.cell_folder(self.folder, detector, seed) / layout.DETECTIONS

    def _estimate(
        self, detector: str, metric: str, scope: str, records: Sequence[Record]
    ) -> Estimate:
        spec, behind = self.spec(metric), self._with_samples.get(detector, ())
        return make_estimate(spec, records, behind, self._sampled(detector, spec, scope))

    def _sampled(
        self, detector: str, spec: MetricSpec, scope: str
    ) -> dict[int, tuple[str, Sampled]]:
        """Seed -> (pairing, value in each resample)."""
        found = {}
        for (name, seed), analysis in self.analyses.items():
            if name != detector:
                continue
            of = analysis.metrics.get(spec.name) if not scope else None
            if scope.startswith(CLASS) and spec == self.catalog.main_score:
                of = analysis.classes.get(scope.removeprefix(CLASS))
            if of is not None:
                found[seed] = (analysis.pairing, of)
        return found


def read_run(folder: Path, *, data_root: str | None = None, resamples: int | None = None) -> Run:
    """Read a run folder and analyse what is new in it.

    Args:
        data_root: where the data lies now, if it was moved.
        resamples: of the images, in place of the run's.

    Raises:
        UserError: the folder holds no run, one of an older version, or its files cannot be read.
    """
    plan = read_plan(folder / layout.PLAN)
    records = read_run_records(folder)
    settings = _settings(plan, folder / layout.PLAN, resamples)
    catalog = _catalog(plan, folder / layout.PLAN).with_ranges(settings.area_ranges)
    truth, images, annotations, notes = find_validation(plan, data_root)
    evaluated = _evaluated(records, catalog)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(
            lambda place: _analyse(folder, place, evaluated[place], truth, settings, plan, catalog),
            evaluated,
        )
        by_place = dict(zip(evaluated, found, strict=True))
    analyses = {place: made for place, (made, _) in by_place.items() if made is not None}
    notes += [f"{d} seed {seed}: {why}" for (d, seed), (_, why) in by_place.items() if why]
    training = {}
    for detector, seed, log in layout.cells_with(folder, layout.TRAIN_LOG):
        try:
            training[detector, seed] = tuple(read_json_lines(log))
        except ValueError as error:
            notes.append(f"{detector} seed {seed}: {log.name} cannot be read ({error})")
    records = _with_ranges(records, analyses, settings, catalog)
    return Run(
        folder=folder,
        plan=plan,
        records=tuple(records),
        catalog=catalog,
        environments=_environments(folder),
        analyses=analyses,
        training=training,
        truth=truth,
        images=images,
        annotations=annotations,
        notes=tuple(dict.fromkeys([*notes, *_undeclared(records, catalog, folder)])),
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


def known_metrics() -> Catalog:
    """Of the loaded plugins and of the stages, with the wordings of this room."""
    return _known(loaded_plugins())


@lru_cache(maxsize=4)
def _known(registry: Registry) -> Catalog:
    known = declared(registry).joined(METRICS)
    return Catalog(known.specs, {**validity.MESSAGES, **difference.MESSAGES, **known.messages})


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
    """What is installed; of other metrics, what the run kept of their declarations."""
    try:
        kept = Catalog.from_json(plan["metrics"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"has no usable 'metrics' ({error})", where=path) from error
    return known_metrics().joined(kept)


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


def _evaluated(records: list[Record], catalog: Catalog) -> dict[Place, Record]:
    """A score of each cell that was evaluated, which says under which conditions."""
    scored = {spec.name for spec in catalog.specs.values() if spec.scoring is not None}
    found: dict[Place, Record] = {}
    for record in latest(records):
        if record.metric in scored and record.scope == "" and record.stage == "evaluate":
            found.setdefault((record.detector, record.seed), record)
    return found


def _with_ranges(
    records: Sequence[Record],
    analyses: Mapping[Place, CellAnalysis],
    settings: Report,
    catalog: Catalog,
) -> list[Record]:
    """The records and, behind each ranged score, that of every area range of the manifest."""
    current = {id(record) for record in latest(records)}
    result = []
    for record in records:
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
    folder: Path,
    place: Place,
    record: Record,
    truth: GroundTruth | None,
    settings: Report,
    plan: Json,
    catalog: Catalog,
) -> tuple[CellAnalysis | None, str]:
    """The analysis, and why there is none or why it could not be kept, "" without a problem."""
    cell = layout.cell_folder(folder, *place)
    path = cell / layout.DETECTIONS
    if truth is None:
        return None, "no intervals: the ground truth is not there"
    if record.conditions.get("annotations_sha256") != truth.sha256:
        return None, "no intervals: the annotation file has changed since"
    if not path.is_file():
        return None, "no intervals: its detections are not there"
    limit = record.conditions.get("max_detections", MAX_DETECTIONS)
    if limit != MAX_DETECTIONS:
        found = f"they are of {MAX_DETECTIONS} detections per image, these scores of {limit}"
        return None, f"no intervals: {found}"
    chosen = truth.image_ids[: plan["evaluate"]["max_images"]]
    resize = record.conditions.get("input")
    metrics = {s.name: s.scoring for s in catalog.specs.values() if s.scoring is not None}
    asked = {name: vars(scoring) for name, scoring in metrics.items()}
    inputs = [hash_file(path), truth.sha256, len(chosen), resize, asked, VERSION]
    key = digest([*inputs, settings.model_dump(exclude={"gallery"})])

    def make() -> CellAnalysis:
        with collector_paused():
            return analyse_cell(
                restrict(EvaluationInput(truth, read_detections(path, truth)), chosen),
                resize,
                settings,
                metrics,
            )

    try:
        return load_or_make(cell / layout.ANALYSIS, key, make)
    except UserError as error:
        return None, f"no intervals: {error}"


def _settings(plan: Json, where: Path, resamples: int | None) -> Report:
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
