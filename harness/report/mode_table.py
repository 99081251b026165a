"""The modes of a run as the terminal shows them."""

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from harness.report.sections.modes import NONE, ModeRow, Modes

SIGNS = {"better": "▲ ", "worse": "▼ ", "noise": "≈ ", "unknown": "? "}
STYLES = {"better": "green", "worse": "red"}
ABOUT = (
    "against eager: time end to end as a multiple of eager's; ▲ faster, ▼ slower, ≈ inside the "
    "noise; agreement: with what eager float32 finds"
)


def mode_table(modes: Modes) -> Table:
    """One row a detector and mode; how a mode failed stands in the notes."""
    table = Table(
        title="inference modes",
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=SIMPLE_HEAD,
    )
    for heading in ("detector", "mode", "precision"):
        table.add_column(heading, no_wrap=True)
    for heading in ("latency ms", "against eager", "agreement", "set-up s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, rows in modes.rows:
        for number, row in enumerate(rows):
            table.add_row("" if number else name, row.mode, *_cells(row))
    return table


def _cells(row: ModeRow) -> tuple[Text, ...]:
    median = row.times[-1][0]
    if row.error and median == NONE:
        return Text(""), Text("failed", style="red")
    ratio = Text(f"{SIGNS.get(row.ratio.sign, '')}{row.ratio.shown}")
    ratio.stylize(STYLES.get(row.ratio.sign, "dim"))
    # the rest of "float32, TF32 allowed" stands in the report
    precision = row.precision.partition(",")[0]
    return Text(precision), Text(median), ratio, Text(row.agreement), Text(row.setup)
