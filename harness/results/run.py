"""A run with everything that its records say, and the estimates made of them."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from harness.plugin.catalog import Catalog, declared
from harness.plugin.manager import loaded_plugins
from harness.plugin.metrics import MetricSpec
from harness.plugin.registry import Registry
from harness.records import layout
from harness.records.about import About
from harness.records.record import Record
from harness.records.store import latest
from harness.results import difference, validity
from harness.results.ap.types import CellAnalysis, Sampled
from harness.results.difference import Difference, find_difference
from harness.results.estimate import Estimate, make_estimate
from harness.stages.inputs import GroundTruth
from harness.stages.metrics import METRICS

if TYPE_CHECKING:
    from pandas import DataFrame

CLASS, MODE = "class/", "mode/"

Place = tuple[str, int]  # detector, seed
Json = Mapping[str, Any]
Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class Run:
    """One run folder.

    Attributes:
        plan: its plan.json; of records by themselves, what they say of it.
        environments: environment id -> content of its file.
        records: of every cell, with raw samples; after each score that was analysed,
            that of the manifest's own area ranges.
        analyses: of every cell whose detections could be read and scored again.
        mode_analyses: the same of what each quantised mode found, by detector, seed and mode.
        training: lines of each train_log.jsonl.
        truth: ground truth of the validation images, None where it is gone or has changed.
        images: folder of the validation images, None where it is gone.
        annotations: the file that `truth` was read from.
        notes: what could not be derived, and why, one line each.
        catalog: the metrics, and how warnings read.
        about: what people say of it.
    """

    folder: Path
    plan: Json
    records: tuple[Record, ...]
    catalog: Catalog
    environments: Mapping[str, Json] = field(default_factory=dict)
    analyses: Mapping[Place, CellAnalysis] = field(default_factory=dict)
    mode_analyses: Mapping[tuple[str, int, str], CellAnalysis] = field(default_factory=dict)
    training: Mapping[Place, tuple[Json, ...]] = field(default_factory=dict)
    truth: GroundTruth | None = None
    images: Path | None = None
    annotations: Path | None = None
    notes: tuple[str, ...] = ()
    about: About = field(default_factory=About)
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
    def latest(self) -> tuple[Record, ...]:
        """The records that count: of each cell's last good attempt, and how a later one failed."""
        return tuple(latest(self.records))

    @cached_property
    def measured(self) -> tuple[Record, ...]:
        """The measurements among them."""
        return tuple(r for r in self.latest if r.kind == "measurement")

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

    @cached_property
    def _modes(self) -> Mapping[str, Mapping[str, str]]:
        """Detector -> mode -> scope."""
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for record in self.measured:
            if record.mode:
                own, shown = found[record.detector], not record.scope.startswith(MODE)
                own[record.mode] = "" if shown else own.get(record.mode, MODE + record.mode)
        return found

    def mode_scopes(self, detector: str) -> Mapping[str, str]:
        """Modes that a detector was timed in -> scope: "" of the one that all tables show."""
        return self._modes.get(detector, {})

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

    def records_of(self, detector: str, metric: str, scope: str = "") -> Sequence[Record]:
        """One per seed."""
        return self._index.get((detector, metric, scope), ())

    def estimate(self, detector: str, metric: str, scope: str = "") -> Estimate:
        """A detector's number; without a value where it was not measured."""
        return self._once(self._estimate, detector, metric, scope)

    def estimate_of(self, record: Record) -> Estimate:
        """A single measurement, of one seed."""
        return self._estimate(record.detector, record.metric, record.scope, record)

    def difference(self, base: str, other: str, metric: str) -> Difference:
        """How a detector's number differs from another detector's."""
        return self._once(self._difference, base, other, metric)

    def estimate_quantized(self, detector: str, mode: str, metric: str) -> Estimate:
        """A score of what a quantised mode found; without a value where that was not kept.

        Nor with one where it was kept of some of the detector's seeds alone.
        """
        return self._once(self._estimate_quantized, detector, mode, metric)

    def difference_quantized(self, detector: str, mode: str, metric: str) -> Difference:
        """What 8 bits change, of the same weights on the same images."""
        base = self.estimate(detector, metric)
        other = self.estimate_quantized(detector, mode, metric)
        return find_difference(base.of_weights, other.of_weights, same_detector=True)

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

    def detections_file(self, detector: str, seed: int, mode: str = "") -> Path:
        return layout.cell_folder(self.folder, detector, seed) / layout.detections_name(mode)

    def _once(self, make: Callable[..., Made], *names: str) -> Made:
        """What is made of these names, the first time that it is asked for."""
        key = make.__name__, *names
        if key not in self._made:
            self._made[key] = make(*names)
        found: Made = self._made[key]
        return found

    def _estimate(
        self, detector: str, metric: str, scope: str, only: Record | None = None
    ) -> Estimate:
        records = self.records_of(detector, metric, scope) if only is None else [only]
        spec, behind = self.spec(metric), self._with_samples.get(detector, ())
        return make_estimate(spec, records, behind, self._sampled(detector, spec, scope))

    def _difference(self, base: str, other: str, metric: str) -> Difference:
        sides = self.estimate(base, metric), self.estimate(other, metric)
        return find_difference(*sides, same_detector=base == other)

    def _estimate_quantized(self, detector: str, mode: str, metric: str) -> Estimate:
        records = self.records_of(detector, metric)
        found = {
            seed: (made.pairing, made.metrics[metric])
            for (name, seed, of), made in self.mode_analyses.items()
            if (name, of) == (detector, mode) and metric in made.metrics
        }
        if any(record.seed not in found for record in records):
            return Estimate(self.spec(metric))
        own = [replace(record, value=found[record.seed][1].value) for record in records]
        return make_estimate(self.spec(metric), own, sampled=found)

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


def known_metrics() -> Catalog:
    """Of the loaded plugins and of the stages, with the wordings of this room."""
    return _known(loaded_plugins())


@lru_cache(maxsize=4)
def _known(registry: Registry) -> Catalog:
    known = declared(registry).joined(METRICS)
    return Catalog(known.specs, {**validity.MESSAGES, **difference.MESSAGES, **known.messages})
