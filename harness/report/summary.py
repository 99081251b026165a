"""What a run prints when it ends: table, notes, where everything lies."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

from harness.plan.cells import Plan
from harness.records.frame import to_frame
from harness.records.record import Record
from harness.report.cells import conditions_of, notes_of
from harness.report.table import results_table

NOTES = 6


def print_summary(records: list[Record], plan: Plan, folder: Path, console: Console) -> None:
    """Print the table of a run to `console`."""
    frame = to_frame(records)
    metrics = list(plan.suite.columns)
    data = plan.source.name
    title = f"{plan.suite.suite}, profile {plan.suite.profile}, data {data}"
    console.print()
    console.print(results_table(frame, metrics, title))
    for line in conditions_of(frame):
        console.print(Text(line, style="dim"))
    notes = notes_of(frame, metrics)
    for note in notes[:NOTES]:
        console.print(Text(f"! {note}", style="yellow"))
    if len(notes) > NOTES:
        console.print(Text(f"! and {len(notes) - NOTES} more notes in the report", style="yellow"))
    console.print(f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True)
