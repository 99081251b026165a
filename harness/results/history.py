"""A metric over the runs of a suite, in the order in which they were measured."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.results.ap.paired import over_seeds
from harness.results.changes import find_change
from harness.results.families import family_of
from harness.results.rows import choose_detectors, full_name, known_metrics
from harness.results.samples.percentiles import percentile, percentile_interval
from harness.results.sources import read_side
from harness.results.types import Change, Figure, Side
from harness.results.validity_rules import Level, percent_of


@dataclass(frozen=True)
class Point:
    """A metric of a detector in one run.

    Attributes:
        time: seconds since 1970 of the run's first record.
        commit: of the harness, "+" behind it if its sources were changed; "" where unknown.
        low, high: 95 % interval, NaN where unknown.
        change: to the run before that has this detector, None for the first.
        level, doubts: how far the value can be believed, and why not.
    """

    run: str
    time: float
    commit: str
    value: float
    low: float
    high: float
    seeds: int
    change: Change | None
    level: Level = "valid"
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """One detector over runs, oldest first."""

    detector: str
    metric: str
    unit: str
    higher_is_better: bool | None
    points: tuple[Point, ...]


def read_history(folder: Path, resamples: int | None = None) -> list[Side]:
    """The runs in a suite's folder, or in a folder of suites, oldest first.

    Runs that are broken or hold no numbers stand at the end, with nothing but their notes.

    Raises:
        UserError: there are none, or none can be read.
    """
    found = [folder / "records.jsonl", *folder.glob("*/records.jsonl")]
    found += folder.glob("*/*/records.jsonl")
    files = [path for path in found if path.is_file()]
    if not files:
        hint = "give a suite's folder of runs, such as results/tinydet"
        raise UserError("holds no runs", where=folder, hint=hint)
    sides = [_read_or_skip(path, resamples) for path in files]
    full = sorted((side for side in sides if side.figures), key=lambda s: (s.time, s.name))
    empty = [side for side in sides if not side.figures]
    if not full:
        notes = [note for side in empty for note in side.notes]
        raise UserError("no run can be read", where=folder, hint="; ".join(notes))
    return full + empty


def _read_or_skip(path: Path, resamples: int | None) -> Side:
    try:
        return read_side(path, resamples)
    except UserError as error:
        folder = path.parent
        return Side(folder.name, str(folder), figures={}, notes=(f"skipped: {error}",))


def trace_metric(sides: Sequence[Side], metric: str, only: Sequence[str] = ()) -> Iterator[Line]:
    """One line per detector that has the metric.

    Args:
        metric: its name or short name.
        only: detectors; none for all.

    Raises:
        UserError: no run has the metric or a detector.
    """
    metric = full_name(metric, known_metrics(sides))
    for detector in choose_detectors(sides, only):
        chosen = [
            (side, side.figures[detector][metric])
            for side in sides
            if metric in side.figures.get(detector, {})
        ]
        if chosen:
            first = chosen[0][1]
            yield Line(detector, metric, first.unit, first.higher_is_better, _points(chosen))


def _points(chosen: Sequence[tuple[Side, Figure]]) -> tuple[Point, ...]:
    points = []
    before: Figure | None = None
    for side, figure in chosen:
        change = None if before is None else find_change(before, figure, same_detector=True)
        low, high = find_bounds(figure)
        points.append(
            Point(
                side.name,
                side.time,
                side.commit,
                figure.value,
                low,
                high,
                len(figure.seeds),
                change,
                figure.level,
                figure.doubts,
            )
        )
        before = figure
    return tuple(points)


def find_bounds(figure: Figure) -> tuple[float, float]:
    """95 % interval of one figure: over images by bootstrap, or of a percentile of samples.

    Of several seeds' samples the interval is moved onto the mean of the seeds' percentiles, as
    in `harness.results.changes`.
    """
    if figure.analyses and all(figure.metric in a.metrics for a in figure.analyses):
        seeds = over_seeds(figure.analyses, figure.metric)
        return seeds.low, seeds.high
    percent = 50.0 if figure.metric == "time" else percent_of(figure.metric)
    if figure.samples and percent is not None:
        factor = figure.value / percentile(figure.samples, percent)
        low, high = percentile_interval(figure.samples, percent)
        return factor * low, factor * high
    if family_of(figure.metric) in ("macs", "activations", "parameters"):
        return figure.value, figure.value
    return math.nan, math.nan
