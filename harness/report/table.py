"""The table that a run prints."""

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from harness.records.frame import wide
from harness.report.cells import Column, columns_of


def results_table(frame: pd.DataFrame, metrics: list[str], title: str) -> Table:
    """One row per detector; the best of a column in bold; mean over seeds."""
    columns = columns_of(frame, metrics)
    values = wide(frame, metrics)
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="", box=SIMPLE_HEAD
    )
    table.add_column("detector", no_wrap=True, vertical="bottom")
    for column in columns:
        table.add_column(_header(column), justify="right", no_wrap=True)
    for detector, row in values.iterrows():
        shown = [_cell(column, row[column.metric], values[column.metric]) for column in columns]
        table.add_row(Text(str(detector)), *shown)
    return table


def _header(column: Column) -> Text:
    return Text.assemble((column.title, "bold"), "\n", (column.unit, "dim"))


def _cell(column: Column, value: float, all_values: pd.Series) -> Text:
    best = all_values.max() if column.higher_is_better else all_values.min()
    is_best = column.higher_is_better is not None and value == best and all_values.count() > 1
    return Text(column.show(value), style="bold green" if is_best else "")
