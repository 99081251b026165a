"""The page of `harness compare --html`: each side against the first, on one self-contained page."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness import __version__
from harness.files import write_text
from harness.report.cells import Column
from harness.report.changes import best_side, column_of, lone_lines, reasons, value_mark
from harness.report.marks import MARKS
from harness.report.sections.differences import show_p
from harness.report.sections.measured import show_signed
from harness.report.sections.state import show_time
from harness.report.swatches import swatches
from harness.report.templating import template
from harness.results.types import NOT_COMPARED, Change, Comparison, GateResult, Row

CONTENTS = {"summary": "In short", "gates": "Gates", "table": "All numbers", "notes": "Notes"}
WORDS = {
    "better": "better",
    "worse": "worse",
    "changed": "changed",
    "equal": "equal",
    "noise": "inside the noise",
    "unknown": "noise unknown",
    "refused": "not comparable",
    "invalid": "invalid",
    "missing": "not measured",
}


SHOWN_MISMATCHES = 2


@dataclass(frozen=True)
class ShownValue:
    """A side's value; `mark` is "" unless it is in doubt, for the reasons in `doubts`."""

    text: str
    is_best: bool
    mark: str
    doubts: str


@dataclass(frozen=True)
class ShownChange:
    """A side's cells of a row: its value, and how it differs from the base."""

    side: str
    value: ShownValue
    verdict: str
    sign: str
    words: str
    difference: str
    interval: str
    ratio: str
    p: str
    why: tuple[str, ...]
    doubted: bool


@dataclass(frozen=True)
class ShownRow:
    """A metric of a detector; `detector` is "" where each side is another one."""

    detector: str
    metric: str
    unit: str
    base: ShownValue
    changes: tuple[ShownChange, ...]


@dataclass(frozen=True)
class Tally:
    """One side against the base: (verdict, in words, how many), and what is really different."""

    side: str
    counts: tuple[tuple[str, str, int], ...]
    real: tuple[tuple[str, str], ...]


def write_compare_page(path: Path, comparison: Comparison) -> None:
    """Write the page whole.

    Raises:
        UserError: the folder is read-only or the disk full.
    """
    write_text(path, render_comparison(comparison))


def render_comparison(comparison: Comparison, now: datetime | None = None) -> str:
    """The page as text.

    Args:
        now: when the page says that it was written.
    """
    rows = [_row(comparison.sides, row) for row in comparison.common_rows]
    notes = [*lone_lines(comparison), *reasons(comparison), *comparison.notes]
    there = {"gates": comparison.gates, "notes": notes}
    return template("compare.html").render(
        contents=[(id, words) for id, words in CONTENTS.items() if there.get(id, True)],
        sides=list(zip(comparison.sides, comparison.paths, strict=True)),
        others=comparison.sides[1:],
        tallies=[_tally(name, i, rows) for i, name in enumerate(comparison.sides[1:])],
        rows=rows,
        gates=[_gate(gate) for gate in comparison.gates],
        doubted=any(c.doubted for row in rows for c in row.changes),
        notes=notes,
        swatches=swatches(list(dict.fromkeys(row.detector for row in rows if row.detector))),
        written=show_time((now or datetime.now(UTC)).timestamp()),
        version=__version__,
    )


def _row(sides: tuple[str, ...], row: Row) -> ShownRow:
    column = column_of(row)
    base, *values = [_value(column, row, number) for number in range(len(sides))]
    changes = tuple(
        _change(column, side, value, change, doubted=bool(base.mark or value.mark))
        for side, value, change in zip(sides[1:], values, row.changes, strict=True)
    )
    return ShownRow(row.detector, column.title, column.unit, base, changes)


def _value(column: Column, row: Row, side: int) -> ShownValue:
    mark = value_mark(row, side)
    why = "; ".join(row.doubts[side]) if mark else ""
    return ShownValue(column.show(row.values[side]), side == best_side(row), mark, why)


def _change(
    column: Column, side: str, value: ShownValue, change: Change, *, doubted: bool
) -> ShownChange:
    refused = change.verdict in NOT_COMPARED
    low, high = (_signed(column, end) for end in (change.low, change.high))
    return ShownChange(
        side=side,
        value=value,
        verdict=change.verdict,
        sign="" if change.verdict == "missing" else MARKS[change.verdict],
        words=WORDS[change.verdict],
        difference="" if refused else _signed(column, change.value),
        interval=f"[{low}, {high}]" if not refused and change.low < change.high else "",
        ratio=""
        if refused or change.verdict == "equal" or math.isnan(change.ratio)
        else f"{change.ratio:.3f}x",
        p="" if refused else show_p(change.p, is_floor=change.p_is_limit),
        why=tuple(_reasons(change)),
        doubted=doubted,
    )


def _reasons(change: Change) -> Iterator[str]:
    """As much as a cell can hold; the notes say it all."""
    if len(change.mismatches) > SHOWN_MISMATCHES:
        names = [mismatch.name for mismatch in change.mismatches]
        more = len(names) - SHOWN_MISMATCHES
        yield f"measured with other {', '.join(names[:SHOWN_MISMATCHES])} and {more} more"
        return
    for mismatch in change.mismatches:
        yield f"{mismatch}" if change.verdict == "refused" else f"allowed: {mismatch}"
    if change.note:
        yield change.note


def _signed(column: Column, value: float) -> str:
    return "" if math.isnan(value) else show_signed(value * column.scale, column.digits)


def _tally(side: str, place: int, rows: list[ShownRow]) -> Tally:
    changes = [(row, row.changes[place]) for row in rows]
    counts = [
        (verdict, words, sum(change.verdict == verdict for _, change in changes))
        for verdict, words in WORDS.items()
    ]
    real = [
        (
            change.verdict,
            f"{row.detector} {row.metric} {change.difference} {_spoken(row)}".strip()
            + ", in doubt" * change.doubted,
        )
        for row, change in changes
        if change.verdict in ("better", "worse")
    ]
    return Tally(side, tuple(count for count in counts if count[2]), tuple(real))


def _spoken(row: ShownRow) -> str:
    """A difference of percents is in points."""
    return "points" if row.unit == "%" else row.unit


def _gate(gate: GateResult) -> tuple[GateResult, str, str]:
    """With its colour and its line less what stands in front of it."""
    colour = {"passed": "better", "missed": "worse", "not evaluable": "noise"}[gate.verdict]
    line = gate.line.removeprefix(f"gate {gate.gate}: ")
    return gate, colour, line.replace(f"{gate.verdict}: ", "", 1)
