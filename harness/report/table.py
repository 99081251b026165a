"""The table that a run prints."""

from collections.abc import Mapping

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from harness.analysis.paired import over_seeds
from harness.analysis.run import Run
from harness.records.frame import wide
from harness.report.cells import Column, columns_of

Halves = Mapping[tuple[str, str], float]  # (detector, metric) -> half the width of the interval


def results_table(frame: pd.DataFrame, metrics: list[str], title: str, halves: Halves) -> Table:
    """One row per detector; the best of a column in bold; mean over seeds, ± below it."""
    columns = columns_of(frame, metrics)
    values = wide(frame, metrics)
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="", box=SIMPLE_HEAD
    )
    table.add_column("detector", no_wrap=True, vertical="bottom")
    for column in columns:
        table.add_column(_header(column), justify="right", no_wrap=True)
    for detector, row in values.iterrows():
        shown = [
            _cell(
                column,
                row[column.metric],
                values[column.metric],
                halves.get((str(detector), column.metric)),
            )
            for column in columns
        ]
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


def _cell(column: Column, value: float, all_values: pd.Series, half: float | None) -> Text:
    best = all_values.max() if column.higher_is_better else all_values.min()
    is_best = column.higher_is_better is not None and value == best and all_values.count() > 1
    text = Text(column.show(value), style="bold green" if is_best else "")
    if half is not None and half == half:
        return Text.assemble(text, (f" ±{column.show(half)}", "dim"))
    return text
