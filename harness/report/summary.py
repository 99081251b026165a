"""What a run prints when it ends: table, notes, where everything lies."""

import math

from rich.console import Console
from rich.text import Text

from harness.report.cells import conditions_of, notes_of
from harness.report.marks import DOUBTFUL, MARKS
from harness.report.mode_table import ABOUT, fitting_mode_table
from harness.report.sections.measured import make_board
from harness.report.sections.modes import compare_modes
from harness.report.table import fitting_table, half_width
from harness.results.run import Run

NOTES = 6
INTERVALS = "±: half the 95 % interval over images, by bootstrap; other images would give other APs"


def print_summary(run: Run, console: Console) -> None:
    """Print the table of a run to `console`."""
    metrics = list(run.plan["columns"])
    data = run.plan["data_name"]
    title = f"{run.plan['suite']}, profile {run.plan['profile']}, data {data}"
    board = make_board(run, metrics)
    console.print()
    console.print(fitting_table(board, title, console))
    modes = compare_modes(run)
    if modes is not None:
        console.print(fitting_mode_table(modes, console))
    places = [(name, metric) for name in board.detectors for metric in metrics]
    has_intervals = any(not math.isnan(half_width(board, *place)) for place in places)
    levels = {board.of(*place).level for place in places if board.of(*place).is_there}
    told = [INTERVALS] * has_intervals + [ABOUT] * (modes is not None)
    told += [f"{DOUBTFUL} doubtful; the report says why"] * ("doubtful" in levels)
    told += [f"{MARKS['invalid']} invalid; the report says why"] * ("invalid" in levels)
    for line in [*conditions_of(run.frame), *told]:
        console.print(Text(line, style="dim"))
    notes = [*run.notes, *notes_of(run.frame, metrics)]
    for note in notes[:NOTES]:
        console.print(Text(f"! {note}", style="yellow"))
    if len(notes) > NOTES:
        console.print(Text(f"! and {len(notes) - NOTES} more notes in the report", style="yellow"))
    console.print(f"report: {run.folder / 'report.html'}", highlight=False, soft_wrap=True)
