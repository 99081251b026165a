"""The runs of a folder, a line each."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.text import Text

from harness.errors import UserError
from harness.records import layout
from harness.report.format import NBSP, amount, best_of, duration
from harness.report.sections.run import describe_state
from harness.report.terminal import Grid
from harness.results.run import Run
from harness.results.run_folder import read_numbers
from harness.stages.metrics import CELL_SECONDS


def read_runs(folder: Path, tags: Iterable[str] = ()) -> tuple[list[Run], list[str]]:
    """The runs in a folder of suites, of runs or of one run, the latest first.

    Args:
        tags: only runs that have all of these.

    Returns:
        the runs, and a line for each that cannot be read.

    Raises:
        UserError: there are none.
    """
    folders = layout.runs_in(folder, depth=2)
    if not folders:
        raise UserError("holds no runs", where=folder, hint="a results folder, or a suite's in it")
    wanted, found, problems = set(tags), [], []
    for path in folders:
        try:
            run = read_numbers(path)
        except UserError as error:
            problems.append(f"skipped: {error}")
            continue
        if wanted <= set(run.about.tags):
            found.append(run)
    return sorted(found, key=_last, reverse=True), problems


def runs_grid(runs: Sequence[Run], below: Path) -> Grid:
    """A row per run.

    Args:
        below: names of runs are paths from here.
    """
    # heads of a word that fits their cells: where there is little room they would be broken
    told = [str(run.about) for run in runs]
    grid = Grid(["run", "last cell", "data", "cells", "took", "best", *["note"] * any(told)])
    for run, about in zip(runs, told, strict=True):
        state = describe_state(run)
        grid.add(
            str(run.folder.relative_to(below) if below != run.folder else run.folder),
            state.as_of,
            f"{run.plan['profile']}, {run.plan.get('data_name', '')}",
            _cells(state.done, state.failed, state.planned),
            duration(sum(r.value for r in run.latest if r.metric == CELL_SECONDS)),
            _best(run),
            *[about] * any(told),
        )
    return grid


def _last(run: Run) -> float:
    return max((record.time for record in run.records), default=0.0)


def _cells(done: int, failed: int, planned: int) -> Text:
    told = Text(f"{done} of {planned}", "" if done == planned else "yellow")
    return Text.assemble(told, (f", {failed} failed", "red")) if failed else told


def _best(run: Run) -> str:
    """The best detector by the main score, and of how many; seeds count with their mean."""
    spec = run.catalog.main_score
    seeds = len({cell["seed"] for cell in run.plan["cells"]})
    several = len(run.detectors) > 1 or seeds > 1
    of = f"of{NBSP}{len(run.detectors)}" + f" x {seeds} seeds" * (seeds > 1)
    if spec is None:
        return of * several
    found = {name: run.estimate(name, spec.name) for name in run.detectors}
    usable = {name: one.value for name, one in found.items() if one.is_usable}
    name = best_of(usable, spec) or (next(iter(usable)) if len(usable) == 1 else None)
    best = [] if name is None else [f"{name} {spec.title}{NBSP}{amount(spec, usable[name])}"]
    return ", ".join([*best, *[of] * several])
