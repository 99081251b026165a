"""How values and differences of a comparison are written, the same everywhere."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from harness.report.best import best_of
from harness.report.cells import Column, make_column
from harness.report.marks import ALLOWED, BEST, DOUBTFUL, LEVELS, MARKS
from harness.results.gates import first_of
from harness.results.types import NOT_COMPARED, Change, Comparison, Row, Verdict

Detail = Literal["interval", "half", "bare"]

MEANINGS: Mapping[Verdict, str] = {
    "better": "better, outside the noise",
    "worse": "worse, outside the noise",
    "changed": "another number, neither better nor worse",
    "equal": "the same",
    "noise": "inside the noise",
    "unknown": "the noise is unknown",
    "refused": "not compared: not measured alike",
    "invalid": "not compared: a number says nothing of its detector",
    "missing": "no number",
}


def column_of(row: Row) -> Column:
    """Title, unit and digits of a row's metric."""
    return make_column(row.metric, row.unit, row.higher_is_better)


def best_side(row: Row) -> int | None:
    """The side with the best value; see `best_of`."""
    if len(row.best) != 1:
        return None
    values = {side: row.values[side] for side in {*row.best, *row.rivals}}
    # sides that are really worse are not rivals, but there is something to be better than
    if len(values) == 1:
        return row.best[0]
    return best_of(values, column_of(row), row.rivals)


def value_mark(row: Row, side: int) -> str:
    """The sign of what casts doubt on a side's value, or ""."""
    there = row.levels and not math.isnan(row.values[side])
    return LEVELS[row.levels[side]] if there else ""


def show_change(row: Row, change: Change, detail: Detail = "interval") -> str:
    """The sign, then "+1.2 [+0.3, +2.1]": AP in points, all else in percent of the base."""
    mark = MARKS[change.verdict]
    if change.verdict == "missing":
        return mark
    if change.verdict in ("refused", "invalid"):
        return f"{mark} {change.verdict}"
    if change.verdict == "equal":
        return f"{mark} same"
    scale, unit = _scale(row)
    text = f"{mark} {_signed(change.value * scale, row)}{unit}"
    if change.mismatches:
        text += f" {ALLOWED}"
    if math.isnan(change.low) or change.low == change.high or detail == "bare":
        return text
    low, high = change.low * scale, change.high * scale
    if detail == "half":
        return f"{text} ±{(high - low) / 2:.1f}"
    return f"{text} [{_signed(low, row)}, {_signed(high, row)}]"


def legend(comparison: Comparison) -> str:
    """What the marks that occur mean."""
    rows = comparison.common_rows
    found = {change.verdict for row in rows for change in row.changes}
    said = [f"{MARKS[v]} {meaning}" for v, meaning in MEANINGS.items() if v in found]
    if any(c.mismatches and c.verdict not in NOT_COMPARED for r in rows for c in r.changes):
        said.append(f"{ALLOWED} compared though not measured alike")
    if any(best_side(row) is not None for row in rows):
        said.append(f"{BEST} best of its row")
    if any(value_mark(row, i) == DOUBTFUL for row in rows for i in range(len(row.values))):
        said.append(f"{DOUBTFUL} doubtful")
    return "; ".join(said)


def reasons(comparison: Comparison) -> Iterator[str]:
    """Why rows are refused or marked and what else is to be known of them, each reason once."""
    yield from change_reasons(comparison)
    yield from doubts(comparison)


def change_reasons(comparison: Comparison) -> Iterator[str]:
    """Why differences are refused or marked, each reason once."""
    yield from _collect(comparison, _change_reasons)


def doubts(comparison: Comparison) -> Iterator[str]:
    """What speaks most against the values of a row and how much more does; alike rows share it.

    The CSV and the page have every reason beside its value.
    """
    found: dict[str, list[str]] = {}
    for row in comparison.common_rows:
        for said in _worst_doubts(row, comparison.sides):
            found.setdefault(said, []).append(_who(row))
    yield from (f"{_shorten(rows)}: {said}" for said, rows in found.items())


def lone_lines(comparison: Comparison) -> Iterator[str]:
    """Which detectors stand on some sides only and are not compared."""
    found: dict[tuple[str, ...], list[str]] = {}
    for detector, sides in comparison.lone:
        found.setdefault(sides, []).append(detector)
    for sides, detectors in found.items():
        yield f"only in {' and '.join(sides)}: {', '.join(detectors)}"


def units_line(comparison: Comparison) -> str:
    """What the changes that occur are counted in, and what their intervals are."""
    rows = [r for r in comparison.common_rows if any(not math.isnan(c.value) for c in r.changes)]
    others = [row for row in rows if row.unit != "AP"]
    timed = any(c.low < c.high for row in others for c in row.changes)
    paired = any(c.low <= c.high for r in rows if r.unit == "AP" for c in r.changes)
    said = ["AP in points" + ", 95 % intervals over images by paired bootstrap" * paired]
    said = said if len(others) < len(rows) else []
    if others:
        percent = "percent of the base" if not said else "all else in percent of the base"
        said.append(percent + ", times with 95 % intervals of medians or percentiles" * timed)
    return f"changes: {'; '.join(said)}" if said else ""


def seeds_line(comparison: Comparison) -> str:
    """How many seeds the values rest on, "" if one everywhere."""
    numbers = {number for row in comparison.common_rows for number in row.seeds if number}
    if numbers <= {1}:
        return ""
    said = str(max(numbers)) if len(numbers) == 1 else f"{min(numbers)} to {max(numbers)}"
    return f"values are means over {said} seeds"


def _collect(comparison: Comparison, reasons_of: Callable[[Row, int], Iterator[str]]) -> list[str]:
    """Each reason once, with its rows before and its sides behind it."""
    found: dict[str, list[str]] = {}
    for row in comparison.common_rows:
        by_reason: dict[str, list[str]] = {}
        for number, side in enumerate(comparison.sides):
            for reason in reasons_of(row, number):
                by_reason.setdefault(reason, []).append(side)
        for reason, sides in by_reason.items():
            found.setdefault(f"{reason} ({', '.join(sides)})", []).append(_who(row))
    return [f"{_shorten(rows)}: {reason}" for reason, rows in found.items()]


def _who(row: Row) -> str:
    return f"{row.detector} {column_of(row).title}".strip()


def _worst_doubts(row: Row, sides: Sequence[str]) -> Iterator[str]:
    """ "! on 9 images (base, other) and 2 more reasons", one for each mark, the graver first."""
    for mark in (MARKS["invalid"], DOUBTFUL):
        having: dict[str, list[str]] = {}  # reason -> sides
        for number, side in enumerate(sides):
            if value_mark(row, number) == mark:
                for doubt in row.doubts[number]:
                    having.setdefault(doubt, []).append(side)
        if having:
            first, *more = having
            where = ", ".join(having[first])
            yield f"{mark} {first_of([f'{first} ({where})', *more])}"


def _change_reasons(row: Row, side: int) -> Iterator[str]:
    if not side:
        return
    change = row.changes[side - 1]
    said = "; ".join(map(str, change.mismatches))
    if change.verdict == "refused":
        yield f"{MARKS['refused']} not measured alike: {said or change.note}"
        return
    if said:
        yield f"{ALLOWED} not measured alike: {said}"
    if change.note and change.verdict != "invalid":  # that is said of the value
        yield f"{MARKS[change.verdict]} {change.note}"


def _shorten(rows: Sequence[str], most: int = 3) -> str:
    more = f" and {len(rows) - most} more" if len(rows) > most else ""
    return ", ".join(rows[:most]) + more


def _scale(row: Row) -> tuple[float, str]:
    """To points or to percent of the base; as it is where the base is 0."""
    base = row.values[0]
    if row.unit == "AP":
        return 100.0, ""
    return (100 / base, " %") if base else (1.0, "")


def _signed(value: float, row: Row) -> str:
    small = row.unit != "AP" and 0 < abs(value) < 0.05
    return f"{value:+.2g}" if small else f"{round(value, 1) + 0.0:+,.1f}"  # no "-0.0"
