"""A metric over the runs of a suite, in the order in which they were measured."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.plugin.metrics import MetricSpec
from harness.records import layout
from harness.results.comparison import choose_detectors, full_name
from harness.results.difference import Difference, find_difference
from harness.results.estimate import Estimate
from harness.results.sides import Side, read_side


@dataclass(frozen=True, eq=False)
class Point:
    """A metric of a detector in one run.

    Attributes:
        time: seconds since 1970 of the run's first record.
        commit: of the harness, "+" behind it if its sources were changed; "" where unknown.
        difference: to the run before that has this detector, None for the first.
    """

    run: str
    time: float
    commit: str
    estimate: Estimate
    difference: Difference | None


@dataclass(frozen=True, eq=False)
class Line:
    """One detector over runs, oldest first."""

    detector: str
    metric: MetricSpec
    points: tuple[Point, ...]


def read_history(folder: Path, resamples: int | None = None) -> list[Side]:
    """The runs in a suite's folder, or in a folder of suites, oldest first.

    Runs that are broken or hold no numbers stand at the end, with nothing but their notes.

    Raises:
        UserError: there are none, or none can be read.
    """
    runs = layout.runs_in(folder, depth=2)
    if not runs:
        hint = "give a suite's folder of runs, such as results/tinydet"
        raise UserError("holds no runs", where=folder, hint=hint)
    sides = [_read_or_skip(run, resamples) for run in runs]
    full = sorted((side for side in sides if side.estimates), key=lambda s: (s.time, s.name))
    empty = [side for side in sides if not side.estimates]
    if not full:
        notes = [note for side in empty for note in side.notes]
        raise UserError("no run can be read", where=folder, hint="; ".join(notes))
    return full + empty


def _read_or_skip(run: Path, resamples: int | None) -> Side:
    try:
        return read_side(run, resamples)
    except UserError as error:
        return Side(run.name, str(run), estimates={}, notes=(f"skipped: {error}",))


def trace_metric(sides: Sequence[Side], metric: str, only: Sequence[str] = ()) -> Iterator[Line]:
    """One line per detector that has the metric.

    Args:
        metric: its name or short name.
        only: detectors; none for all.

    Raises:
        UserError: no run has the metric or a detector.
    """
    metric = full_name(metric, sides)
    for detector in choose_detectors(sides, only):
        chosen = [
            (side, side.estimates[detector][metric])
            for side in sides
            if metric in side.estimates.get(detector, {})
        ]
        if chosen:
            yield Line(detector, chosen[0][1].metric, tuple(_points(chosen)))


def _points(chosen: Sequence[tuple[Side, Estimate]]) -> Iterator[Point]:
    before: Estimate | None = None
    for side, estimate in chosen:
        change = None
        if before is not None:
            change = find_difference(before, estimate, same_detector=True)
        yield Point(side.name, side.time, side.commit, estimate, change)
        before = estimate
