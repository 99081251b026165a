"""How values and differences of a comparison are written, the same everywhere."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from harness.compare.types import Change, Comparison, Row, Verdict
from harness.report.cells import TITLES, Column

Detail = Literal["interval", "half", "bare"]

# A sign of its own for each verdict, so that colour is never needed.
MARKS: Mapping[Verdict, str] = {
    "better": "▲",
    "worse": "▼",
    "changed": "◆",
    "equal": "=",
    "noise": "≈",
    "unknown": "?",
    "refused": "✗",
    "missing": "–",
}
MEANINGS: Mapping[Verdict, str] = {
    "better": "better, outside the noise",
    "worse": "worse, outside the noise",
    "changed": "another number, neither better nor worse",
    "equal": "the same",
    "noise": "inside the noise",
    "unknown": "the noise is unknown",
    "refused": "not compared: not measured alike",
    "missing": "no number",
}
ALLOWED = "!"  # behind a difference between what was not measured alike


def column_of(row: Row) -> Column:
    """Title, unit and digits of a row's metric."""
    is_ap = row.unit == "AP"
    return Column(
        row.metric,
        TITLES.get(row.metric, row.metric.replace("_", " ")),
        "%" if is_ap else row.unit,
        100.0 if is_ap else 1.0,
        {"AP": 1, "M": 2, "ms": 1, "MMACs": 1}.get(row.unit, 2),
        row.higher_is_better,
    )


def show_change(row: Row, change: Change, detail: Detail = "interval") -> str:
    """ "▲ +1.2 [+0.3, +2.1]": AP in points, all else in percent of the base."""
    mark = MARKS[change.verdict]
    if change.verdict == "missing":
        return mark
    if change.verdict == "refused":
        return f"{mark} refused"
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
    found = {change.verdict for row in comparison.rows for change in row.changes}
    said = [f"{MARKS[v]} {meaning}" for v, meaning in MEANINGS.items() if v in found]
    if any(c.mismatches and c.verdict != "refused" for r in comparison.rows for c in r.changes):
        said.append(f"{ALLOWED} compared though not measured alike")
    return "; ".join(said)


def reasons(comparison: Comparison) -> Iterator[str]:
    """Why rows are refused or marked and what else is to be known of them, each reason once."""
    found: dict[str, list[str]] = {}
    for row in comparison.rows:
        for side, change in zip(comparison.sides[1:], row.changes, strict=True):
            who = f"{row.detector} {column_of(row).title}".strip()
            for reason in _reasons(change):
                found.setdefault(f"{reason} ({side})", []).append(who)
    for reason, rows in found.items():
        yield f"{_shorten(rows)}: {reason}"


def seeds_line(comparison: Comparison) -> str:
    """How many seeds stand behind the values, "" if one everywhere."""
    numbers = {number for row in comparison.rows for number in row.seeds if number}
    if numbers <= {1}:
        return ""
    said = str(max(numbers)) if len(numbers) == 1 else f"{min(numbers)} to {max(numbers)}"
    return f"values are means over {said} seeds"


def _reasons(change: Change) -> Iterator[str]:
    said = "; ".join(map(str, change.mismatches))
    if change.verdict == "refused":
        yield f"{MARKS['refused']} not measured alike: {said or change.note}"
        return
    if said:
        yield f"{ALLOWED} not measured alike: {said}"
    if change.note:
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
