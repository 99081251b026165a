"""What a run prints when it ends: tables, notes, where the page is."""

from itertools import groupby

from rich.console import Console
from rich.text import Text

from harness.records import layout
from harness.report.format import LEVELS, MARKS, NBSP, half_width, ratio
from harness.report.mode_rows import (
    ModeRow,
    QuantizedRow,
    main_time,
    mode_rows,
    mode_warnings,
    quantized_rows,
    quantized_scores,
)
from harness.report.notes import captions, failures, warnings_of
from harness.report.sections.results import find_best
from harness.report.terminal import STYLES, Grid, Head, change_cell, say, value_cell
from harness.results.run import Run
from harness.stages.metrics import MODE_AGREEMENT, MODE_SCORE, MODE_SETUP

NOTES = 6
INTERVALS = {
    "bootstrap": "±: half the 95 % interval, of scores over images, by bootstrap",
    "samples": "±: half the 95 % interval, of times over repetitions",
}
ABOUT_MODES = (
    f"against eager: time as a multiple of eager's; {MARKS['better']} faster, "
    f"{MARKS['worse']} slower, {MARKS['noise']} not significantly different; "
    "agreement: with what eager float32 finds; AP of the check: on the images of that comparison"
)


def print_summary(run: Run, console: Console) -> None:
    """Print the tables of a run, on what terms their numbers hold, and what to know of them."""
    modes = mode_rows(run)
    console.print()
    console.print(main_table(run))
    if modes:
        console.print()
        console.print(mode_table(run, modes))
    if quantized := quantized_rows(run, modes):
        console.print()
        console.print(quantized_table(run, quantized))
    console.print()
    told = [*captions(run, run.columns), *_legend(run), *([ABOUT_MODES] if modes else [])]
    say(console, told, "dim")
    warned = [*warnings_of(run, run.columns), *mode_warnings(run, modes)]
    grave = [warning for warning in warned if warning.level != "valid"]
    notes = list(dict.fromkeys([*failures(run), *run.notes, *map(str, grave)]))
    say(console, notes[:NOTES], "yellow")
    if len(notes) > NOTES:
        say(console, [f"and {len(notes) - NOTES} more in the report"], "yellow")
    console.print(f"report: {run.folder / layout.PAGE}", highlight=False, soft_wrap=True)


def main_table(run: Run) -> Grid:
    """A row per detector; the best of a column in bold, what is in doubt with its sign."""
    specs = [run.spec(metric) for metric in run.columns]
    plan = run.plan
    title = f"{plan['suite']}, profile {plan['profile']}, data {plan['data_name']}"
    grid = Grid(["detector", *map(Head.of, specs)], title)
    best = {spec.name: find_best(run, spec) for spec in specs}
    for name in run.detectors:
        found = [run.estimate(name, spec.name) for spec in specs]
        grid.add(
            name,
            *(value_cell(e, best=best[e.metric.name] == name, behind=half_width(e)) for e in found),
        )
    return grid


def mode_table(run: Run, rows: list[ModeRow]) -> Grid:
    """A row per mode, by detector; how a mode failed is in the notes."""
    main = main_time(run)
    times = [main] if main is not None else []
    others = [run.spec(metric) for metric in (MODE_AGREEMENT, MODE_SCORE, MODE_SETUP)]
    heads = [*map(Head.of, times), *([Head("against", "eager")] * len(times))]
    grid = Grid(["mode", *heads, *map(Head.of, others)], "inference modes")
    for name, own in groupby(rows, key=lambda row: row.detector):
        grid.group(name)
        for row in own:
            if row.has_failed:
                grid.add(row.mode, Text("failed", style="red"))
                continue
            timed, rest = (
                [value_cell(row.estimates.get(spec.name)) for spec in specs]
                for specs in (times, others)
            )
            grid.add(row.mode, *timed, *[_against(row)] * len(times), *rest)
    return grid


def quantized_table(run: Run, rows: list[QuantizedRow]) -> Grid:
    """What 8 bits change in points, by object size, with paired intervals."""
    scores = quantized_scores(run)
    grid = Grid(["mode", *(Head(s.title, "points") for s in scores)], "8 bits minus float")
    for name, own in groupby(rows, key=lambda row: row.detector):
        grid.group(name)
        for row in own:
            found = [(spec, *row.changes[spec.name]) for spec in scores]
            grid.add(row.mode, *(change_cell(spec, base.value, d) for spec, base, d in found))
    return grid


def _against(row: ModeRow) -> Text:
    """The ratio to eager's time with its verdict."""
    found = row.difference
    if found is None or row.base is None:
        return Text()
    if not found.compared:
        return change_cell(row.base.metric, row.base.value, found)
    return Text(f"{MARKS[found.verdict]}{NBSP}{ratio(found)}", style=STYLES[found.verdict])


def _legend(run: Run) -> list[str]:
    there = [run.estimate(name, metric) for name in run.detectors for metric in run.columns]
    kinds = {one.metric.interval for one in there if one.has_interval}
    levels = {one.level for one in there if one.is_there}
    told = [f"{mark} {level}" for level, mark in LEVELS.items() if mark and level in levels]
    return [*(line for kind, line in INTERVALS.items() if kind in kinds), *told]
