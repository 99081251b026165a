"""The main table: one row per detector, one column per metric of the suite."""

import math
from dataclasses import dataclass

from harness.report.best import best_of
from harness.report.sections.measured import Board, show_interval

DEFAULT = ("ap", "ap50", "ap_small", "macs_paper", "parameters", "latency_end_to_end_p50")


@dataclass(frozen=True)
class Head:
    """Heading of a column; `better` is "higher", "lower" or ""."""

    metric: str
    title: str
    unit: str
    better: str


@dataclass(frozen=True)
class Cell:
    """A number as shown.

    Attributes:
        sort: value to sort by, "" where there is none.
        low, high: as shown, for copying.
        interval: "[low, high]", or "".
        spread: standard deviation over seeds, or "".
        is_best: of its column; see `harness.report.best`.
        doubt: why it must be taken with care, "" where it need not be.
        level: "valid", "doubtful" or "invalid".
    """

    shown: str
    sort: str
    low: str
    high: str
    interval: str
    spread: str
    is_best: bool
    doubt: str
    level: str


@dataclass(frozen=True)
class MainTable:
    """Rows in the order of the suite."""

    heads: tuple[Head, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    seeds: int


def lay_out_table(board: Board, metrics: tuple[str, ...]) -> MainTable:
    """The table of `metrics` that were measured at all."""
    there = tuple(metric for metric in metrics if board.has(metric))
    best = {metric: find_best(board, metric) for metric in there}
    rows = tuple(
        (name, tuple(_cell(board, name, metric, best[metric] == name) for metric in there))
        for name in board.detectors
    )
    return MainTable(tuple(_head(board, m) for m in there), rows, _most_seeds(board, there))


def find_best(board: Board, metric: str) -> str | None:
    """The detector with the best value; see `best_of`."""
    found = {name: board.of(name, metric) for name in board.detectors}
    values = {name: measured.value for name, measured in found.items() if measured.is_usable}
    return best_of(values, board.columns[metric])


def _head(board: Board, metric: str) -> Head:
    column = board.columns[metric]
    better = {True: "higher", False: "lower", None: ""}[column.higher_is_better]
    return Head(metric, column.title, column.unit, better)


def _cell(board: Board, name: str, metric: str, is_best: bool) -> Cell:
    column, measured = board.columns[metric], board.of(name, metric)
    has_interval = not math.isnan(measured.low + measured.high)
    varies = not math.isnan(measured.spread) and measured.spread > 0
    return Cell(
        shown=column.show(measured.value),
        sort=f"{measured.value:.9g}" if measured.is_there else "",
        low=column.show(measured.low) if has_interval else "",
        high=column.show(measured.high) if has_interval else "",
        interval=show_interval(column, measured.low, measured.high),
        spread=column.show(measured.spread) if varies else "",
        is_best=is_best,
        doubt="; ".join(measured.reasons),
        level=measured.level,
    )


def _most_seeds(board: Board, metrics: tuple[str, ...]) -> int:
    return max((board.of(n, m).seeds for n in board.detectors for m in metrics), default=0)
