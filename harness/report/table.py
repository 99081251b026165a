"""The table that a run prints."""

import math
from collections.abc import Mapping

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.analysis.paired import over_seeds
from harness.analysis.run import Run
from harness.records.frame import wide
from harness.report.cells import Column, columns_of

Halves = Mapping[tuple[str, str], float]  # (detector, metric) -> half the width of the interval


def fitting_table(
    frame: pd.DataFrame, metrics: list[str], title: str, halves: Halves, console: Console
) -> Table:
    """`results_table` with ± beside the values or, where the console is narrow, below them."""
    table = results_table(frame, metrics, title, halves, " ")
    room = console.options.update(width=1000)  # a measure is cut to the width it is given
    if console.measure(table, options=room).maximum > console.width:
        return results_table(frame, metrics, title, halves, "\n")
    return table


def results_table(
    frame: pd.DataFrame, metrics: list[str], title: str, halves: Halves, between: str
) -> Table:
    """One row per detector; the best of a column in bold; mean over seeds.

    Args:
        between: what stands between a value and its ±.
    """
    columns = columns_of(frame, metrics)
    values = wide(frame, metrics)
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="", box=SIMPLE_HEAD
    )
    table.add_column("\ndetector", no_wrap=True)
    for column in columns:
        table.add_column(_header(column), justify="right", no_wrap=True)
    for detector, row in values.iterrows():
        shown = []
        for column in columns:
            text = _value(column, row[column.metric], values[column.metric])
            half = halves.get((str(detector), column.metric), math.nan)
            known = "" if math.isnan(half) else f"{between}±{column.show(half)}"
            shown.append(Text.assemble(text, (known, "dim")))
        table.add_row(Text(str(detector)), *shown)
    return table


def half_widths(run: Run, metrics: list[str]) -> dict[tuple[str, str], float]:
    """Half the 95 % interval over images of each figure that has one."""
    found = {}
    for detector in run.detectors:
        analyses = run.analyses_of(detector)
        for metric in metrics:
            if analyses and all(metric in analysis.metrics for analysis in analyses):
                seeds = over_seeds(analyses, metric)
                found[detector, metric] = (seeds.high - seeds.low) / 2
    return found


def _header(column: Column) -> Text:
    return Text.assemble((column.title, "bold"), "\n", (column.unit, "dim"))


def _value(column: Column, value: float, all_values: pd.Series) -> Text:
    best = all_values.max() if column.higher_is_better else all_values.min()
    is_best = column.higher_is_better is not None and value == best and all_values.count() > 1
    return Text(column.show(value), style="bold green" if is_best else "")
