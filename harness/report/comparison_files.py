"""A comparison as Markdown and as CSV."""

import csv
import io
import math
from pathlib import Path

from harness.files import write_text
from harness.report.changes import (
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
from harness.results.types import Comparison, Row

# The header of the CSV. Values are as recorded: AP 0..1; low and high bound the difference.
HEADER = (
    "detector",
    "metric",
    "unit",
    "higher_is_better",
    "base",
    "other",
    "base_value",
    "other_value",
    "base_seeds",
    "other_seeds",
    "difference",
    "low",
    "high",
    "ratio",
    "p",
    "verdict",
    "mismatches",
    "note",
    "base_validity",
    "other_validity",
    "doubts",
)


def write_markdown(path: Path, comparison: Comparison) -> None:
    """Write `render_markdown` whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    write_text(path, render_markdown(comparison))


def render_markdown(comparison: Comparison) -> str:
    """A table for a pull request; the best of a row in bold."""
    rows = comparison.common_rows
    several = any(row.detector for row in rows)
    head = ["detector"] * several + ["metric", "unit", comparison.sides[0]]
    align = ["---"] * several + ["---", "---", "---:"]
    for side in comparison.sides[1:]:
        head += [side, "change"]
        align += ["---:", "---"]
    lines = [_line(head), "|" + "|".join(align) + "|"]
    lines += [_line([row.detector] * several + _cells(row)) for row in rows]
    lines.append("")
    said = (*lone_lines(comparison), legend(comparison).replace("* best", "bold: best"))
    more = (units_line(comparison), seeds_line(comparison), *reasons(comparison), *comparison.notes)
    lines += [f"* {_escape(line)}" for line in (*said, *more) if line]
    lines += [f"* {_escape(gate.line)}" for gate in comparison.gates]
    return "\n".join(lines) + "\n"


def write_csv(path: Path, comparison: Comparison) -> None:
    """One line a row and side but the base, with `HEADER`; empty where unknown.

    Raises:
        UserError: it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for row in comparison.rows:
        writer.writerows(_lines(row, comparison.sides))
    write_text(path, text.getvalue())


def _lines(row: Row, sides: tuple[str, ...]) -> list[list[str]]:
    better = "" if row.higher_is_better is None else str(row.higher_is_better)
    lines = []
    for number, change in enumerate(row.changes, 1):
        numbers = (change.value, change.low, change.high, change.ratio, change.p)
        lines.append(
            [
                row.detector,
                row.metric,
                row.unit,
                better,
                sides[0],
                sides[number],
                _number(row.values[0]),
                _number(row.values[number]),
                str(row.seeds[0]),
                str(row.seeds[number]),
                *map(_number, numbers),
                change.verdict,
                "; ".join(map(str, change.mismatches)),
                change.note,
                *_validity(row, number),
            ]
        )
    return lines


def _validity(row: Row, side: int) -> list[str]:
    """Of base and side, "" where there is no number, and what speaks against either."""
    levels = [
        row.levels[i] if row.levels and not math.isnan(row.values[i]) else "" for i in (0, side)
    ]
    found = dict.fromkeys(r for i in (0, side) for r in (row.doubts[i] if row.doubts else ()))
    return [*levels, "; ".join(found)]


def _cells(row: Row) -> list[str]:
    column, best = column_of(row), best_side(row)
    cells = [column.title, column.unit]
    for number, value in enumerate(row.values):
        shown, mark = column.show(value), value_mark(row, number)
        cells.append((f"**{shown}**" if number == best else shown) + f" {mark}".rstrip())
        if number:
            cells.append(show_change(row, row.changes[number - 1]))
    return cells


def _line(cells: list[str]) -> str:
    # a bold value is ours, all else is the user's
    return "| " + " | ".join(c if c.startswith("**") else _escape(c) for c in cells) + " |"


def _escape(text: str) -> str:
    for character in "\\|*_`<[":
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", " ")


def _number(value: float) -> str:
    return "" if math.isnan(value) else repr(float(value))
