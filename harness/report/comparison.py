"""A comparison as a table in the terminal."""

import re

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from harness.report.changes import (
    Detail,
    best_side,
    column_of,
    legend,
    lone_lines,
    reasons,
    seeds_line,
    show_change,
    units_line,
    value_mark,
)
from harness.report.marks import BEST, MARKS
from harness.results.types import Change, Comparison, GateResult, Row, Verdict

STYLES: dict[Verdict, str] = {
    "better": "green",
    "worse": "red",
    "changed": "yellow",
    "equal": "dim",
    "noise": "bright_black",
    "unknown": "",
    "refused": "magenta",
    "invalid": "magenta",
    "missing": "dim",
}
# From the widest to the narrowest: how much of a difference, and whether detectors have a column.
LAYOUTS: tuple[tuple[Detail, bool], ...] = (
    ("interval", True),
    ("interval", False),
    ("half", False),
    ("bare", False),
)
REFUSED = MARKS["refused"] + MARKS["invalid"]
GATE_STYLES = {"passed": "green", "missed": "bold red", "not evaluable": "magenta"}


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the table, what its marks mean, and why rows were refused."""
    if comparison.common_rows:
        console.print(fitting_table(comparison, console))
    for line in lone_lines(comparison):
        _say(console, line)
    for line in (units_line(comparison), legend(comparison), seeds_line(comparison)):
        if line:
            _say(console, line, "dim")
    for reason in reasons(comparison):
        _say(console, reason, "magenta" if re.search(f": [{REFUSED}]", reason) else "")
    for note in comparison.notes:
        _say(console, f"! {note}", "yellow")


def print_gates(results: tuple[GateResult, ...], console: Console) -> None:
    """One line a gate and row."""
    for result in results:
        _say(console, result.line, GATE_STYLES[result.verdict])


def fitting_table(comparison: Comparison, console: Console) -> Table:
    """The table with as much detail as the console is wide."""
    for detail, with_detectors in LAYOUTS:
        table = comparison_table(comparison, detail, with_detectors)
        # without a limit, or the measure would be cut to the console's width
        if Measurement.get(console, console.options.update(width=10_000), table).maximum <= (
            console.width
        ):
            return table
    return stacked_table(comparison)


def comparison_table(
    comparison: Comparison, detail: Detail = "interval", with_detectors: bool = True
) -> Table:
    """One row per metric, one column a side and one for its difference.

    Args:
        with_detectors: as a column of their own, else as headings between the rows.
    """
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    several = any(row.detector for row in comparison.common_rows)
    marks = any(value_mark(row, i) for row in comparison.rows for i in range(len(row.values)))
    if several and with_detectors:
        table.add_column("detector", no_wrap=True)
    table.add_column("metric", no_wrap=True)
    for number, side in enumerate(comparison.sides):
        table.add_column(Text(side), justify="right", overflow="fold")
        if number:
            table.add_column("change", no_wrap=True)
    before = ""
    for row in comparison.common_rows:
        heading = row.detector if row.detector != before else ""
        if heading and before:
            table.add_section()
        before = row.detector
        if heading and not with_detectors:
            table.add_row(Text(heading, style="bold", overflow="fold", no_wrap=False))
        first = [Text(heading)] if several and with_detectors else []
        table.add_row(*first, _title(row), *_cells(row, detail, 1 + marks))
    return table


def stacked_table(comparison: Comparison) -> Table:
    """One row per metric and side, where the sides do not fit beside each other."""
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("metric", no_wrap=True)
    table.add_column("of", overflow="fold")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("change", no_wrap=True)
    before = ""
    for row in comparison.common_rows:
        if row.detector != before:
            table.add_row(Text(row.detector, style="bold"))
        before = row.detector
        first, *cells = _cells(row, "bare", 2)
        table.add_row(_title(row), Text(comparison.sides[0]), first)
        for side, value, change in zip(comparison.sides[1:], *_halves(cells), strict=True):
            table.add_row("", Text(side), value, change)
        table.add_section()
    return table


def _halves(cells: list[Text]) -> tuple[list[Text], list[Text]]:
    """Values and changes, which alternate."""
    return cells[::2], cells[1::2]


def _title(row: Row) -> Text:
    column = column_of(row)
    return Text.assemble(column.title, (f" {column.unit}" if column.unit else "", "dim"))


def _cells(row: Row, detail: Detail, room: int) -> list[Text]:
    """Values and changes.

    Args:
        room: for the marks behind a value, so that digits stand below each other.
    """
    column, best = column_of(row), best_side(row)
    cells = []
    for number, value in enumerate(row.values):
        # the best is starred, too, for those who see no colour
        marks = BEST * (number == best) + value_mark(row, number)
        style = "bold green" if number == best else ""
        cells.append(Text(f"{column.show(value)}{marks:{room}}", style=style))
        if number:
            cells.append(_change(row, row.changes[number - 1], detail))
    return cells


def _change(row: Row, change: Change, detail: Detail) -> Text:
    return Text(show_change(row, change, detail), style=STYLES[change.verdict])


def _say(console: Console, line: str, style: str = "") -> None:
    console.print(Text(line, style=style), soft_wrap=not console.is_terminal)
