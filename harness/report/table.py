"""The table that a run prints."""

import math

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.report.cells import Column
from harness.report.marks import LEVELS
from harness.report.sections.main_table import find_best
from harness.report.sections.measured import Board, Measured


def fitting_table(board: Board, title: str, console: Console) -> Table:
    """`results_table` with ± beside the values or, where the console is narrow, below them."""
    table = results_table(board, title, " ")
    room = console.options.update(width=1000)  # a measure is cut to the width it is given
    if console.measure(table, options=room).maximum > console.width:
        return results_table(board, title, "\n")
    return table


def results_table(board: Board, title: str, between: str) -> Table:
    """One row per detector; the best of a column in bold, what is in doubt with its sign.

    Args:
        between: what stands between a value and its ±.
    """
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="", box=SIMPLE_HEAD
    )
    table.add_column("\ndetector", no_wrap=True)
    for column in board.columns.values():
        table.add_column(_header(column), justify="right", no_wrap=True)
    best = {metric: find_best(board, metric) for metric in board.columns}
    for name in board.detectors:
        cells = [
            _cell(board, name, column, best[metric] == name, between)
            for metric, column in board.columns.items()
        ]
        table.add_row(Text(name), *cells)
    return table


def half_width(board: Board, detector: str, metric: str) -> float:
    """Half the 95 % interval over images, NaN where there is none."""
    measured = board.of(detector, metric)
    analyses = board.run.analyses_of(detector)
    if not any(metric in analysis.metrics for analysis in analyses):
        return math.nan
    return (measured.high - measured.low) / 2


def _cell(board: Board, detector: str, column: Column, is_best: bool, between: str) -> Text:
    measured: Measured = board.of(detector, column.metric)
    half = half_width(board, detector, column.metric)
    return Text.assemble(
        (column.show(measured.value), "bold green" if is_best else ""),
        (LEVELS[measured.level] if measured.is_there else "", "yellow"),
        ("" if math.isnan(half) else f"{between}±{column.show(half)}", "dim"),
    )


def _header(column: Column) -> Text:
    return Text.assemble((column.title, "bold"), "\n", (column.unit, "dim"))
