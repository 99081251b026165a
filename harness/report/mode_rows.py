"""What each mode of inference costs and gives: a row per mode, each against its eager."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.plan.cells import USUAL_MODE
from harness.plugin.metrics import MetricSpec
from harness.records.record import Record
from harness.report.notes import Warned, gather
from harness.results.contenders import MEANT
from harness.results.difference import Difference, find_difference
from harness.results.estimate import Estimate
from harness.results.run import MODE, Run
from harness.stages.metrics import MODE_AGREEMENT, MODE_COMPILE, MODE_SCORE, MODE_SETUP

OWN = (MODE_AGREEMENT, MODE_SCORE, MODE_SETUP, MODE_COMPILE)  # of modes alone
PERCENTS = (50, 99)
STAGE = "latency"


@dataclass(frozen=True, eq=False)
class ModeRow:
    """One mode of one detector.

    Attributes:
        mode: with its precision, see `harness.plan.cells.name_mode`.
        estimates: metric -> its number; of those in `mode_metrics`, without a value where it was
            not measured.
        difference: of the main time to that of the detector's eager; None for eager itself, and
            where there is no eager.
        base: eager's main time, for `difference`.
        scope: of its records; "" for the mode that all other tables show.
        errors: how its cells failed.
    """

    detector: str
    mode: str
    estimates: Mapping[str, Estimate]
    difference: Difference | None = None
    base: Estimate | None = None
    scope: str = ""
    errors: tuple[str, ...] = ()

    @property
    def precision(self) -> str:
        found = (e.conditions.get("precision") for e in self.estimates.values())
        return next((str(one) for one in found if one is not None), "")

    @property
    def has_failed(self) -> bool:
        """And left no numbers."""
        return bool(self.errors) and not any(e.is_there for e in self.estimates.values())


def mode_metrics(run: Run) -> list[MetricSpec]:
    """Medians and 99th percentiles of the times, sizes, and what is measured of modes alone."""
    there = {r.metric for r in run.measured if r.stage == STAGE}
    specs = [run.spec(name) for name in [*run.catalog.specs, *there - set(run.catalog.specs)]]
    return [
        spec
        for spec in specs
        if spec.name in there
        and (spec.name in OWN or spec.kind == "size" or spec.percent in PERCENTS)
    ]


def main_time(run: Run) -> MetricSpec | None:
    """The time by which detectors are ranked, else the first median."""
    times = [spec for spec in mode_metrics(run) if spec.kind == "time" and spec.percent == 50]
    return next((spec for spec in times if spec.role == "cost"), times[0] if times else None)


def mode_rows(run: Run) -> list[ModeRow]:
    """Detectors in the order of the suite, modes in that of the plan; none if each has but one."""
    specs, main = mode_metrics(run), main_time(run)
    timed: dict[str, dict[str, list[Record]]] = {name: {} for name in run.detectors}
    for record in run.latest:
        if record.stage == STAGE and record.detector in timed:
            timed[record.detector].setdefault(record.mode, []).append(record)
    rows = {name: list(_rows(run, name, own, specs, main)) for name, own in timed.items()}
    if all(len(own) < 2 for own in rows.values()):
        return []
    return [row for own in rows.values() for row in own]


@dataclass(frozen=True, eq=False)
class QuantizedRow:
    """What 8 bits change: score -> the float detector's number, and the paired difference to it."""

    detector: str
    mode: str
    changes: Mapping[str, tuple[Estimate, Difference]]


def quantized_scores(run: Run) -> list[MetricSpec]:
    """The main score and the same by object size, of those sizes that there are objects of."""
    main = run.catalog.main_score
    if main is None or main.scoring is None:
        return []
    kinds = [(s, s.scoring) for s in run.metrics() if s.scoring is not None and run.has(s.name)]
    return [s for s, scoring in kinds if replace(scoring, area=main.scoring.area) == main.scoring]


def quantized_rows(run: Run, rows: Sequence[ModeRow]) -> list[QuantizedRow]:
    """Of the modes whose detections were kept."""
    names = [spec.name for spec in quantized_scores(run)]
    kept = {(detector, mode) for detector, _, mode in run.mode_analyses}
    return [
        QuantizedRow(r.detector, r.mode, {n: _change(run, r.detector, r.mode, n) for n in names})
        for r in rows
        if (r.detector, r.mode) in kept and names
    ]


def _change(run: Run, detector: str, mode: str, metric: str) -> tuple[Estimate, Difference]:
    return run.estimate(detector, metric), run.difference_quantized(detector, mode, metric)


def mode_warnings(run: Run, rows: Sequence[ModeRow]) -> list[Warned]:
    """What is to be known of the main time and of the agreement, each once."""
    main = main_time(run)
    chosen = [name for name in (main.name if main else "", MODE_AGREEMENT) if name]
    return gather(
        run.catalog,
        [
            (f"{row.detector} {row.mode}", row.estimates[name])
            for name in chosen
            for row in rows
            if name in row.estimates
        ],
    )


def _rows(
    run: Run,
    detector: str,
    cells: Mapping[str, Sequence[Record]],
    specs: Sequence[MetricSpec],
    main: MetricSpec | None,
) -> Iterator[ModeRow]:
    scopes = {mode: run.mode_scopes(detector).get(mode, MODE + mode) for mode in cells}
    base = None
    if main is not None and USUAL_MODE in scopes:
        base = run.estimate(detector, main.name, scopes[USUAL_MODE])
    for mode, scope in scopes.items():
        estimates = {spec.name: run.estimate(detector, spec.name, scope) for spec in specs}
        difference = None
        if main is not None and base is not None and mode != USUAL_MODE:
            own = estimates[main.name]
            difference = find_difference(base, own, same_detector=True, meant=MEANT)
        errors = tuple(dict.fromkeys(r.error for r in cells[mode] if r.status != "ok"))
        yield ModeRow(detector, mode, estimates, difference, base, scope, errors)
