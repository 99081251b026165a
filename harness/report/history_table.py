"""A metric over runs as a table and as CSV."""

import math
from collections.abc import Sequence
from itertools import pairwise

import pandas as pd
from rich.console import Console

from harness.plugin.catalog import Catalog
from harness.report.comparison_table import change_reasons, doubts, legend, level, words
from harness.report.format import interval, moment
from harness.report.terminal import Grid, Head, change_cell, say, value_cell
from harness.results.comparison import Comparison, Row
from harness.results.difference import Difference
from harness.results.history import Line

HEADER = (
    "detector", "metric", "unit", "run", "time", "commit", "value", "low", "high", "seeds",
    "difference", "difference_low", "difference_high", "verdict", "mismatches", "validity",
    "doubts",
)  # fmt: skip


def print_history(lines: Sequence[Line], catalog: Catalog, console: Console) -> None:
    """A table, what its marks mean, and why some are there.

    Args:
        catalog: how warnings read.
    """
    console.print(history_table(lines))
    console.print()
    changes, values = changes_of(lines, catalog), values_of(lines, catalog)
    say(console, [line for one in values for line in doubts(one)])
    say(console, change_reasons(changes))
    found = (changes, *values)
    marks = dict.fromkeys(mark for one in found for mark in legend(one).split("; "))
    say(console, ["; ".join(filter(None, marks))], "dim")
    caveats = [c for row in changes.rows for d in row.differences for c in d.caveats]
    say(console, dict.fromkeys(map(catalog.word, caveats)), "yellow")


def history_table(lines: Sequence[Line]) -> Grid:
    """One row per run, grouped by detector."""
    spec = lines[0].metric
    value = Head(spec.title, spec.shown_unit, right=False)
    grid = Grid(["run", "measured", value, "to the run before"])
    for line in lines:
        grid.group(line.detector)
        base = math.nan
        for point in line.points:
            when = f"{moment(point.time)} {point.commit}".rstrip()
            shown = value_cell(point.estimate, behind=interval(point.estimate))
            found = point.difference
            changed = [] if found is None else [change_cell(spec, base, found)]
            grid.add(point.run, when, shown, *changed)
            base = point.estimate.value
    return grid


def history_frame(lines: Sequence[Line], catalog: Catalog) -> pd.DataFrame:
    """One line per detector and run, with `HEADER`; values as recorded, NaN where unknown."""
    rows = []
    for line in lines:
        for point in line.points:
            one, change = point.estimate, point.difference or Difference("missing")
            rows.append(
                (
                    line.detector, line.metric.name, line.metric.unit, point.run, point.time,
                    point.commit, one.value, one.low, one.high, len(one.seeds), change.value,
                    change.low, change.high, change.verdict if point.difference else "",
                    change.unlike, level(one), words(catalog, one.reasons),
                )
            )  # fmt: skip
    return pd.DataFrame(rows, columns=list(HEADER))


def changes_of(lines: Sequence[Line], catalog: Catalog) -> Comparison:
    """Each run against the one before as a row, so that reasons are told as of a comparison."""
    rows = [
        Row(
            f"{line.detector} {point.run}", line.metric, (before.estimate, point.estimate),
            (point.difference,),
        )
        for line in lines
        for before, point in pairwise(line.points)
        if point.difference is not None
    ]  # fmt: skip
    return Comparison(("", ""), ("", ""), tuple(rows), catalog=catalog)


def values_of(lines: Sequence[Line], catalog: Catalog) -> list[Comparison]:
    """Of each detector all runs beside each other, for what is in doubt of them."""
    found = []
    for line in lines:
        runs = tuple(point.run for point in line.points)
        row = Row(line.detector, line.metric, tuple(p.estimate for p in line.points), ())
        found.append(Comparison(runs, runs, (row,), catalog=catalog))
    return found
