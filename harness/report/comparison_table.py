"""A comparison in words and signs, as a table in the terminal, as Markdown and as CSV."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from harness.plugin.catalog import Catalog
from harness.plugin.metrics import Finding
from harness.report.format import (
    ALLOWED,
    BEST,
    DOUBTFUL,
    LEVELS,
    MARKS,
    NBSP,
    WORDS,
    amount,
    best_of,
    change_in_words,
    interval,
    level_mark,
    listing,
)
from harness.report.terminal import Grid, Head, Value, change_cell, say, value_cell
from harness.results.comparison import Comparison, Row
from harness.results.difference import Difference
from harness.results.estimate import Estimate
from harness.results.gates import GateResult, first_of

if TYPE_CHECKING:
    from pandas import DataFrame

# The header of the CSV. Values are as recorded: scores 0 to 1; low and high bound the difference.
HEADER = (
    "detector", "metric", "unit", "higher_is_better", "base", "other", "base_value", "other_value",
    "base_seeds", "other_seeds", "difference", "low", "high", "ratio", "p", "verdict",
    "mismatches", "note", "base_validity", "other_validity", "doubts",
)  # fmt: skip
GATE_STYLES: Mapping[str, str] = {
    "passed": "green", "missed": "bold red", "not evaluable": "magenta",
}  # fmt: skip
MOST_DOUBTS = 12  # lines, of which none leaves out a reason
BESIDE = 2  # at most so many sides are side by side; more are below one another


def print_comparison(comparison: Comparison, console: Console, *, intervals: bool = False) -> None:
    """Print the table, what its marks mean, and why rows are refused or in doubt.

    Args:
        intervals: of the values, too, and not of their changes alone.
    """
    if comparison.common_rows:
        console.print(comparison_table(comparison, intervals))
        console.print()
    say(console, lone_lines(comparison))
    say(console, [units_line(comparison), legend(comparison), seeds_line(comparison)], "dim")
    grave = re.compile(f": [{MARKS['refused']}{MARKS['invalid']}]")
    for reason in reasons(comparison):
        say(console, [reason], "magenta" if grave.search(reason) else "")
    say(console, comparison.notes, "yellow")


def print_gates(results: Iterable[GateResult], console: Console) -> None:
    """One line per gate and row."""
    for result in results:
        say(console, [result.line], GATE_STYLES[result.verdict])


def comparison_table(comparison: Comparison, intervals: bool = False) -> Grid:
    """One row per metric, grouped by detector; of more than two sides, one per metric and side."""
    beside = len(comparison.sides) <= BESIDE
    behind: list[Head | str] = [""] * intervals
    if beside:
        base, *others = comparison.sides
        changes = (head for side in others for head in (Head(side), *behind, "change"))
        grid = Grid(["", Head(base), *behind, *changes])
    else:
        grid = Grid(["", "of", Head("value"), *behind, "change"])
    before = ""
    for row in comparison.common_rows:
        if row.detector != before:
            grid.group(row.detector)
        before = row.detector
        unit = f" {row.metric.shown_unit}" if row.metric.shown_unit else ""
        title = Text.assemble(row.metric.title, (unit, "dim"))
        if beside:
            grid.add(title, *(cell for pair in _cells(row, intervals) for cell in pair))
            continue
        pairs = zip(comparison.sides, _cells(row, intervals), strict=True)
        for number, (side, pair) in enumerate(pairs):
            grid.add("" if number else title, side, *pair)
    return grid


def render_markdown(comparison: Comparison) -> str:
    """A table for a pull request; the best of a row in bold."""
    import pandas as pd

    rows = comparison.common_rows
    several = any(row.detector for row in rows)
    heads = ["detector"] * several + ["metric", "unit", *_escaped(comparison.sides[:1])]
    for side in _escaped(comparison.sides[1:]):
        heads += [side, "change"]
    table = pd.DataFrame(
        [[*_escaped([row.detector] * several), *_markdown_cells(row)] for row in rows],
        columns=heads,
    )
    align = ["left"] * (several + 2) + ["right", *["right", "left"] * (len(comparison.sides) - 1)]
    lines = (
        *lone_lines(comparison), legend(comparison).replace(f"{BEST} best", "bold: best"),
        units_line(comparison), seeds_line(comparison), *reasons(comparison), *comparison.notes,
        *(gate.line for gate in comparison.gates),
    )  # fmt: skip
    shown = table.to_markdown(index=False, disable_numparse=True, colalign=align) if rows else ""
    return "\n".join([shown, "", *(f"* {line}" for line in _escaped(filter(None, lines))), ""])


def comparison_frame(comparison: Comparison) -> "DataFrame":
    """One line per row and side but the base, with `HEADER`; NaN or "" where unknown."""
    import pandas as pd

    sides, catalog = comparison.sides, comparison.catalog
    lines = [
        (
            row.detector, row.metric.name, row.metric.unit, row.metric.higher_is_better, sides[0],
            sides[number], row.values[0], row.values[number], row.seeds[0], row.seeds[number],
            found.value, found.low, found.high, found.ratio, found.p, found.verdict,
            found.unlike, words(catalog, (*found.reasons, *found.caveats)),
            level(base), level(other),
            words(catalog, (*base.reasons, *other.reasons)),
        )
        for row in comparison.rows
        for number, found in enumerate(row.differences, 1)
        for base, other in [(row.estimates[0], row.estimates[number])]
    ]  # fmt: skip
    return pd.DataFrame(lines, columns=list(HEADER))


def level(estimate: Estimate) -> str:
    """How far a number can be believed, "" where there is none."""
    return estimate.level if estimate.is_there else ""


def words(catalog: Catalog, findings: Iterable[Finding]) -> str:
    """Each once, the gravest first."""
    return "; ".join(dict.fromkeys(map(catalog.word, catalog.gravest_first(findings))))


def best_side(row: Row) -> int | None:
    """The side with the best value; see `best_of`."""
    if len(row.best) != 1:
        return None
    values = {side: row.values[side] for side in {*row.best, *row.rivals}}
    # sides that are significantly worse are not rivals, but there is something to be better than
    return row.best[0] if len(values) == 1 else best_of(values, row.metric, row.rivals)


def legend(comparison: Comparison) -> str:
    """What the marks that occur mean."""
    rows = comparison.common_rows
    differences = [found for row in rows for found in row.differences]
    verdicts = {found.verdict for found in differences}
    said = [f"{mark} {WORDS[verdict]}" for verdict, mark in MARKS.items() if verdict in verdicts]
    if any(found.mismatches and found.compared for found in differences):
        said.append(f"{ALLOWED} compared though not measured alike")
    if any(best_side(row) is not None for row in rows):
        said.append(f"{BEST} best of its row")
    if any(level_mark(one) == DOUBTFUL for row in rows for one in row.estimates):
        said.append(f"{DOUBTFUL} doubtful")
    return "; ".join(said)


def reasons(comparison: Comparison) -> list[str]:
    """Why rows are refused or marked and what else is to be known of them, each reason once."""
    return [
        *dead_lines(comparison),
        *change_reasons(comparison),
        *doubts(comparison),
        *remarks(comparison),
    ]


def dead_lines(comparison: Comparison) -> list[str]:
    """Which sides of which detectors are never best."""
    found: dict[str, None] = {}
    for row in comparison.common_rows:
        for side, why in row.dead.items():
            who = ", ".join(filter(None, [row.detector, comparison.sides[side]]))
            found[f"{who}: {comparison.catalog.word(why)}; never the best of a row"] = None
    return [*found]


def remarks(comparison: Comparison) -> list[str]:
    """What else is to be known of the values and casts no doubt on them."""
    return _shared(comparison, lambda row: _remarks(row, comparison))


def change_reasons(comparison: Comparison) -> list[str]:
    """Why differences are refused or marked, each with its rows before and its sides behind it."""
    return _shared(comparison, lambda row: _change_reasons(row, comparison))


def doubts(comparison: Comparison) -> list[str]:
    """What speaks against the values of a row, the gravest first, of all sides.

    Where that is many lines, the gravest of each row and side, and how much more there is; the CSV
    and the page have every reason beside its value.
    """
    whole = _shared(comparison, lambda row: _doubts(row, comparison))
    if len(whole) <= MOST_DOUBTS:
        return whole
    return _shared(comparison, lambda row: _worst_doubts(row, comparison))


def lone_lines(comparison: Comparison) -> list[str]:
    """Which detectors stand on some sides only and are not compared."""
    found: dict[tuple[str, ...], list[str]] = {}
    for detector, sides in comparison.lone:
        found.setdefault(sides, []).append(detector)
    return [f"only in {listing(sides)}: {', '.join(names)}" for sides, names in found.items()]


def units_line(comparison: Comparison) -> str:
    """What the changes that occur are counted in, and what their intervals are."""
    found = [(r.metric, d) for r in comparison.common_rows for d in r.differences if d.compared]
    points = [d for metric, d in found if metric.shown_unit == "%"]
    others = [d for metric, d in found if metric.shown_unit != "%"]
    said = []
    if points:
        how = ", 95 % intervals over images by paired bootstrap"
        said.append(
            "scores in points" + how * any(d.low <= d.high and d.verdict != "equal" for d in points)
        )
    if others:
        how = ", times with 95 % intervals of medians or percentiles"
        base = f"{'all else in ' if points else ''}percent of the base"
        said.append(base + how * any(d.has_interval for d in others))
    return f"changes: {'; '.join(said)}" if said else ""


def seeds_line(comparison: Comparison) -> str:
    """How many seeds the values rest on, "" if one everywhere."""
    numbers = {number for row in comparison.common_rows for number in row.seeds if number}
    if numbers <= {1}:
        return ""
    said = str(max(numbers)) if len(numbers) == 1 else f"{min(numbers)} to {max(numbers)}"
    return f"values are means over {said} seeds"


def _shared(comparison: Comparison, of: Callable[[Row], Iterable[str]]) -> list[str]:
    """Lines about rows; alike rows share one."""
    found: dict[str, list[str]] = {}
    for row in comparison.common_rows:
        for said in of(row):
            found.setdefault(said, []).append(f"{row.detector} {row.metric.title}".strip())
    return [f"{listing(rows, most=3)}: {said}" for said, rows in found.items()]


def _change_reasons(row: Row, comparison: Comparison) -> list[str]:
    found: dict[str, list[str]] = {}
    for side, difference in zip(comparison.sides[1:], row.differences, strict=False):
        for reason in _of_difference(difference, comparison.catalog):
            found.setdefault(reason, []).append(side)
    return [_of_sides(reason, sides) for reason, sides in found.items()]


def _of_difference(found: Difference, catalog: Catalog) -> Iterator[str]:
    told = words(catalog, found.reasons)
    if found.verdict == "refused":
        yield f"{MARKS['refused']} not measured alike: {found.unlike or told}"
        return
    if found.unlike:
        yield f"{ALLOWED} not measured alike: {found.unlike}"
    if told and found.verdict != "invalid":  # that is said of the value
        yield f"{MARKS[found.verdict]} {told}"


def _doubts(row: Row, comparison: Comparison) -> Iterator[str]:
    """Such as "! images: only 9 (base, other)", the gravest first."""
    having: dict[Finding, list[str]] = {}
    for side, estimate in zip(comparison.sides, row.estimates, strict=True):
        for doubt in estimate.reasons if level_mark(estimate) else ():
            having.setdefault(doubt, []).append(side)
    catalog = comparison.catalog
    told: dict[str, list[str]] = {}
    for one in catalog.gravest_first(having):  # those that differ by less than is shown are one
        told.setdefault(f"{LEVELS[one.level]} {catalog.word(one)}", []).extend(having[one])
    yield from (_of_sides(said, sides) for said, sides in told.items())


def _worst_doubts(row: Row, comparison: Comparison) -> Iterator[str]:
    """What is gravest of each side, the graver mark first.

    The last also says how many more there are.
    """
    catalog = comparison.catalog
    for mark in (LEVELS["invalid"], DOUBTFUL):
        having: dict[Finding, list[str]] = {}
        for side, estimate in zip(comparison.sides, row.estimates, strict=True):
            if level_mark(estimate) == mark:
                for doubt in estimate.reasons:
                    having.setdefault(doubt, []).append(side)
        ordered = catalog.gravest_first(having)
        marked = dict.fromkeys(side for sides in having.values() for side in sides)
        worst = {next(doubt for doubt in ordered if side in having[doubt]) for side in marked}
        told = [_of_sides(catalog.word(one), having[one]) for one in ordered if one in worst]
        rest = [catalog.word(one) for one in ordered if one not in worst]
        yield from (f"{mark} {one}" for one in told[:-1])
        yield from (f"{mark} {first_of([one, *rest])}" for one in told[-1:])


def _remarks(row: Row, comparison: Comparison) -> Iterator[str]:
    having: dict[str, list[str]] = {}
    for side, estimate in zip(comparison.sides, row.estimates, strict=True):
        for remark in estimate.remarks:
            having.setdefault(comparison.catalog.word(remark), []).append(side)
    yield from (_of_sides(said, sides) for said, sides in having.items())


def _of_sides(said: str, sides: Iterable[str]) -> str:
    names = ", ".join(filter(None, sides))
    return f"{said} ({names})" if names else said


def _cells(row: Row, intervals: bool) -> list[list[Text | Value]]:
    """Of each side its value, its interval if wanted, and but for the base its change."""
    best = best_side(row)
    pairs: list[list[Text | Value]] = [
        [value_cell(one, best=i == best, star=True)] for i, one in enumerate(row.estimates)
    ]
    if intervals:
        for pair, one in zip(pairs, row.estimates, strict=True):
            pair.append(Text(interval(one).replace(NBSP, " "), "dim"))
    for pair, found in zip(pairs[1:], row.differences, strict=True):
        pair.append(change_cell(row.metric, row.values[0], found))
    return pairs


def _markdown_cells(row: Row) -> Iterator[str]:
    best = best_side(row)
    yield from _escaped([row.metric.title, row.metric.shown_unit])
    for number, estimate in enumerate(row.estimates):
        shown = amount(row.metric, row.values[number])
        shown = f"**{shown}**" if number == best else shown
        yield f"{shown} {level_mark(estimate)}".rstrip()
        if number:
            found = row.differences[number - 1]
            yield from _escaped([change_in_words(row.metric, row.values[0], found)])


def _escaped(texts: Iterable[str]) -> list[str]:
    """User's text as Markdown shows it as it is."""
    return [re.sub(r"([\\|*_`<\[])", r"\\\1", text).replace("\n", " ") for text in texts]
