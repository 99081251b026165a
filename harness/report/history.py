"""A metric over runs as a table, with a small line of blocks for each detector."""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.files import write_text
from harness.report.changes import (
    change_reasons,
    column_of,
    doubts,
    legend,
    show_change,
    value_mark,
)
from harness.report.comparison import STYLES
from harness.results.comparison import ONE_PROCESS, one_process
from harness.results.history import Line, Point
from harness.results.types import Change, Comparison, Row

BLOCKS = "▁▂▃▄▅▆▇█"
NARROW = 100
HEADER = (
    "detector",
    "metric",
    "unit",
    "run",
    "time",
    "commit",
    "value",
    "low",
    "high",
    "seeds",
    "difference",
    "difference_low",
    "difference_high",
    "verdict",
    "mismatches",
    "validity",
    "doubts",
)


def print_history(lines: Sequence[Line], console: Console) -> None:
    """A table, what its marks mean, then a line of blocks for each detector with two runs."""
    console.print(history_table(lines, narrow=console.width < NARROW))
    for line in lines:
        told = as_comparison(line)
        for reason in (*change_reasons(told), *doubts(_values(line))):
            console.print(Text(reason, style="dim"))
    told_all = [told for line in lines for told in (as_comparison(line), _values(line))]
    marks = dict.fromkeys(mark for told in told_all for mark in legend(told).split("; ") if mark)
    if marks:
        console.print(Text("; ".join(marks), style="dim"))
    if any(one_process(line.metric, *pair) for line in lines for pair in _pairs(line)):
        console.print(Text(f"! {ONE_PROCESS}", style="yellow"))
    width = max(len(line.detector) for line in lines)
    for line in lines:
        if len(line.points) > 1:
            blocks = sparkline([point.value for point in line.points])
            console.print(Text(f"{line.detector:{width}}  {blocks}"))


def history_table(lines: Sequence[Line], narrow: bool = False) -> Table:
    """One row a run, grouped by detector.

    Args:
        narrow: without commits, times of the day and the bounds of differences.
    """
    column = column_of(_row(lines[0], lines[0].points[0]))
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("detector", no_wrap=True)
    table.add_column("run", overflow="fold")
    table.add_column("date", no_wrap=True)
    if not narrow:
        table.add_column("commit", no_wrap=True)
    table.add_column(f"{column.title} {column.unit}".strip(), no_wrap=True)
    table.add_column("to the run before", no_wrap=True)
    for line in lines:
        for number, point in enumerate(line.points):
            name = Text("" if number else line.detector)
            commit = [] if narrow else [Text(point.commit)]
            date = Text(_date(point.time, narrow))
            shown = _value(line, point), _change(line, number, narrow)
            table.add_row(name, Text(point.run), date, *commit, *shown)
        table.add_section()
    return table


def sparkline(values: Sequence[float]) -> str:
    """A block a value, from the lowest to the highest; a space where there is none."""
    there = [value for value in values if not math.isnan(value)]
    if not there:
        return " " * len(values)
    low, high = min(there), max(there)
    steps = len(BLOCKS) - 1
    places = [
        None
        if math.isnan(value)
        else round(steps * (value - low) / (high - low))
        if high > low
        else steps // 2
        for value in values
    ]
    return "".join(" " if place is None else BLOCKS[place] for place in places)


def write_history(path: Path, lines: Sequence[Line]) -> None:
    """One line per detector and run, with `HEADER`; values as recorded, empty where unknown.

    Raises:
        UserError: it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for line in lines:
        for point in line.points:
            change = point.change or Change("missing")
            writer.writerow(
                [
                    *(line.detector, line.metric, line.unit, point.run),
                    *(_number(point.time), point.commit),
                    *map(_number, (point.value, point.low, point.high)),
                    point.seeds,
                    *map(_number, (change.value, change.low, change.high)),
                    change.verdict if point.change else "",
                    "; ".join(map(str, change.mismatches)),
                    "" if math.isnan(point.value) else point.level,
                    "; ".join(point.doubts),
                ]
            )
    write_text(path, text.getvalue())


def _pairs(line: Line) -> Iterator[tuple[Change, tuple[int, int]]]:
    """Differences to the run before, with the seeds of both."""
    for before, point in zip(line.points, line.points[1:], strict=False):
        if point.change is not None:
            yield point.change, (before.seeds, point.seeds)


def as_comparison(line: Line) -> Comparison:
    """Each run against the one before as a row, so that marks and reasons are said alike."""
    rows = tuple(
        _row(line, before, point)
        for before, point in zip(line.points, line.points[1:], strict=False)
    )
    return Comparison(sides=("", "to the run before"), paths=("", ""), rows=rows)


def _values(line: Line) -> Comparison:
    """All runs beside each other, for what is in doubt of each."""
    runs = tuple(point.run for point in line.points)
    row = Row(
        line.detector, line.metric, line.unit, line.higher_is_better,
        values=tuple(p.value for p in line.points), seeds=tuple(p.seeds for p in line.points),
        changes=(), best=(), levels=tuple(p.level for p in line.points),
        doubts=tuple(p.doubts for p in line.points),
    )  # fmt: skip
    return Comparison(sides=runs, paths=runs, rows=(row,))


def _row(line: Line, before: Point, point: Point | None = None) -> Row:
    changes = (point.change,) if point is not None and point.change is not None else ()
    values = (before.value, point.value) if point is not None else (before.value,)
    name = f"{line.detector} {point.run}" if point is not None else line.detector
    seeds = (1,) * len(values)
    points = (before, point) if point is not None else (before,)
    return Row(
        name, line.metric, line.unit, line.higher_is_better, values, seeds, changes, best=(),
        levels=tuple(p.level for p in points), doubts=tuple(p.doubts for p in points),
    )  # fmt: skip


def _value(line: Line, point: Point) -> Text:
    column = column_of(_row(line, point))
    text = Text(column.show(point.value) + value_mark(_row(line, point), 0))
    if not math.isnan(point.low) and point.low != point.high:
        text.append(f" [{column.show(point.low)}, {column.show(point.high)}]", style="dim")
    return text


def _change(line: Line, number: int, narrow: bool) -> Text:
    change = line.points[number].change
    if change is None:
        return Text("")
    row = _row(line, line.points[number - 1], line.points[number])
    shown = show_change(row, change, "bare" if narrow else "interval")
    return Text(shown, style=STYLES[change.verdict])


def _date(time: float, narrow: bool) -> str:
    if math.isnan(time):
        return "–"
    return datetime.fromtimestamp(time, UTC).strftime("%m-%d" if narrow else "%Y-%m-%d %H:%M")


def _number(value: float) -> str:
    return "" if math.isnan(value) else repr(float(value))
