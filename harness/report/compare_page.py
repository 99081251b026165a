"""The page of `harness compare --html`: each side against the first, on one self-contained page."""

from collections import Counter
from datetime import UTC, datetime

from harness import __version__
from harness.plugin.catalog import Catalog
from harness.report.comparison_table import best_side, lone_lines, reasons
from harness.report.format import MARKS, change, moment
from harness.report.templating import render, swatches
from harness.results.comparison import Comparison, Row
from harness.results.difference import Difference, Verdict
from harness.results.gates import GateResult

CONTENTS = {"summary": "In short", "gates": "Gates", "table": "All numbers", "notes": "Notes"}
SHOWN_MISMATCHES = 2
GATE_LOOKS = {"passed": "better", "missed": "worse", "not evaluable": "noise"}


# a side against the base: verdict -> how many rows; (verdict, what is really better or worse)
Tally = tuple[str, dict[Verdict, int], list[tuple[Verdict, str]]]


def render_comparison(comparison: Comparison) -> str:
    """The page as text."""
    rows = comparison.common_rows
    notes = [*lone_lines(comparison), *reasons(comparison), *comparison.notes]
    there = {"gates": comparison.gates, "notes": notes}
    detectors = list(dict.fromkeys(row.detector for row in rows if row.detector))
    return render(
        "compare.html",
        comparison=comparison,
        rows=rows,
        contents=[(id, title) for id, title in CONTENTS.items() if there.get(id, True)],
        tallies=[_tally(comparison, i) for i in range(len(comparison.sides) - 1)],
        gates=[(gate, GATE_LOOKS[gate.verdict], _line(gate)) for gate in comparison.gates],
        best_side=best_side,
        why=lambda found: shorten(found, comparison.catalog),
        word=comparison.catalog.word,
        notes=notes,
        swatches=swatches(detectors),
        written=moment(datetime.now(UTC).timestamp()),
        version=__version__,
    )


def shorten(found: Difference, catalog: Catalog) -> list[str]:
    """Why a difference is refused or marked, as much as a cell can hold; the notes say it all."""
    if len(found.mismatches) > SHOWN_MISMATCHES:
        names = [mismatch.name for mismatch in found.mismatches]
        more = len(names) - SHOWN_MISMATCHES
        return [f"measured with different {', '.join(names[:SHOWN_MISMATCHES])} and {more} more"]
    told = [str(m) if not found.compared else f"allowed: {m}" for m in found.mismatches]
    return [*told, *dict.fromkeys(catalog.word(reason) for reason in found.reasons)]


def _tally(comparison: Comparison, place: int) -> Tally:
    changes = [(row, row.differences[place]) for row in comparison.common_rows]
    counts = Counter(found.verdict for _, found in changes)
    real: list[tuple[Verdict, str]] = [
        (found.verdict, _spoken(row, found, place + 1))
        for row, found in changes
        if found.verdict in ("better", "worse")
    ]
    ordered = {verdict: counts[verdict] for verdict in MARKS if counts[verdict]}
    return comparison.sides[place + 1], ordered, real


def _spoken(row: Row, found: Difference, side: int) -> str:
    shown = change(row.metric, row.values[0], found)
    points = " points" if row.metric.shown_unit == "%" else ""
    doubted = any(row.estimates[i].reasons for i in (0, side))
    return f"{row.detector} {row.metric.title} {shown}{points}".strip() + ", in doubt" * doubted


def _line(gate: GateResult) -> str:
    """A gate's line less what is shown in front of it."""
    line = gate.line.removeprefix(f"gate {gate.gate}: ")
    return line.replace(f"{gate.verdict}: ", "", 1)
