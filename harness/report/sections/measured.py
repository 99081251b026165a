"""A detector's number with both its errors: over images or samples, and over seeds."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.records.frame import latest
from harness.records.record import Record
from harness.report.cells import Column, columns_of
from harness.results.ap.paired import over_seeds
from harness.results.run import Run
from harness.results.samples.medians import percentile_interval
from harness.results.validity import LEVELS, Verdict, judge, samples_behind

NOTHING = (math.nan, math.nan)
Index = Mapping[tuple[str, str], Sequence[Record]]  # detector, metric -> one record per seed


@dataclass(frozen=True)
class Measured:
    """A metric of a whole detector, in the unit of its records.

    Attributes:
        value: mean over seeds, NaN where nothing was measured.
        low, high: 95 % interval over images (AP) or samples (latency), NaN where there is none.
        spread: standard deviation over seeds, NaN for one.
        seeds: behind the value.
        level: the worst verdict on its records.
        reasons: of that verdict, each once.
        records: one per seed.
        samples: raw ones of all seeds, one seed after the other.
    """

    value: float
    low: float
    high: float
    spread: float
    seeds: int
    level: str
    reasons: tuple[str, ...]
    records: tuple[Record, ...]
    samples: tuple[float, ...]

    @property
    def is_there(self) -> bool:
        return not math.isnan(self.value)

    @property
    def is_usable(self) -> bool:
        """Whether it says something of its detector."""
        return self.is_there and self.level != "invalid"


@dataclass(frozen=True, eq=False)
class Board:
    """What the sections show of a run, looked up once."""

    run: Run
    columns: Mapping[str, Column]
    measured: Mapping[tuple[str, str], Measured]

    @property
    def detectors(self) -> tuple[str, ...]:
        return self.run.detectors

    def of(self, detector: str, metric: str) -> Measured:
        return self.measured[detector, metric]

    def has(self, metric: str) -> bool:
        """Whether any detector has a value."""
        return any(self.of(name, metric).is_there for name in self.detectors)


def make_board(run: Run, metrics: Sequence[str]) -> Board:
    """Every detector's `metrics`."""
    index: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in latest(list(run.records)):
        if record.kind == "measurement" and record.scope == "":
            index[record.detector, record.metric].append(record)
    columns = {column.metric: column for column in columns_of(run.frame, list(metrics))}
    places = [(detector, metric) for detector in run.detectors for metric in metrics]
    return Board(run, columns, {place: measure(run, index, *place) for place in places})


def measure(run: Run, index: Index, detector: str, metric: str) -> Measured:
    """One detector's metric from those of its records that `index` holds."""
    records = tuple(index.get((detector, metric), ()))
    values = [record.value for record in records if not math.isnan(record.value)]
    samples = _samples(index, detector, metric)
    low, high = _interval(run, detector, metric, samples, len(values))
    behind = [r for (name, _), found in index.items() if name == detector for r in found]
    level, reasons = _worst([judge(r, samples_behind(r, behind)) for r in records])
    return Measured(
        value=float(np.mean(values)) if values else math.nan,
        low=low,
        high=high,
        spread=float(np.std(values, ddof=1)) if len(values) > 1 else math.nan,
        seeds=len(values),
        level=level,
        reasons=reasons,
        records=records,
        samples=samples,
    )


def _samples(index: Index, detector: str, metric: str) -> tuple[float, ...]:
    """Of a percentile they stand on the record of its median."""
    kind, _, percent = metric.rpartition("_p")
    of = f"{kind}_p50" if percent.isdigit() else metric
    return tuple(s for record in index.get((detector, of), ()) for s in record.samples)


def _interval(
    run: Run, detector: str, metric: str, samples: Sequence[float], seeds: int
) -> tuple[float, float]:
    analyses = run.analyses_of(detector)
    if any(metric in analysis.metrics for analysis in analyses):
        # an interval of fewer seeds than the mean's would belong to another number
        if len(analyses) != seeds:
            return NOTHING
        over = over_seeds(analyses, metric)
        return over.low, over.high
    percent = metric.rpartition("_p")[2]
    if percent.isdigit() and samples:
        return percentile_interval(samples, float(percent))
    return NOTHING


def _worst(verdicts: Sequence[Verdict]) -> tuple[str, tuple[str, ...]]:
    if not verdicts:
        return "valid", ()
    level = max((verdict.level for verdict in verdicts), key=LEVELS.index)
    reasons = [reason for verdict in verdicts for reason in verdict.reasons]
    return level, tuple(dict.fromkeys(reasons))


def show_interval(column: Column, low: float, high: float) -> str:
    """ "[30.1, 32.5]", "" where there is none."""
    return "" if math.isnan(low + high) else f"[{column.show(low)}, {column.show(high)}]"


def show_signed(value: float, digits: int = 1) -> str:
    """With its sign and a true minus; what rounds to zero has no sign."""
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text if text.strip("+−0.") else text[1:]
