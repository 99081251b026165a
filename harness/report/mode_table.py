"""The modes of a run as the terminal shows them."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.report.marks import MARKS
from harness.report.sections.modes import ModeRow, Modes

STYLES = {"better": "green", "worse": "red"}
HEADS = (("latency", "ms"), ("against", "eager"), ("agreement", ""), ("set-up", "s"))
ABOUT = (
    f"against eager: time end to end as a multiple of eager's; {MARKS['better']} faster, "
    f"{MARKS['worse']} slower, {MARKS['noise']} inside the noise; "
    "agreement: with what eager float32 finds"
)


def fitting_mode_table(modes: Modes, console: Console) -> Table:
    """`mode_table`, without the precision where the console is narrow."""
    table = mode_table(modes)
    room = console.options.update(width=1000)  # a measure is cut to the width it is given
    if console.measure(table, options=room).maximum > console.width:
        return mode_table(modes, precision=False)
    return table


def mode_table(modes: Modes, precision: bool = True) -> Table:
    """One row per detector and mode; how a mode failed stands in the notes."""
    table = Table(
        title="inference modes",
        title_justify="left",
        title_style="bold",
        header_style="",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for heading in ("detector", "mode", *(["precision"] * precision)):
        table.add_column(_header("", heading), no_wrap=True)
    for above, below in HEADS:
        table.add_column(_header(above, below), justify="right", no_wrap=True)
    for name, rows in modes.rows:
        for number, row in enumerate(rows):
            table.add_row("" if number else name, row.mode, *_cells(row)[not precision :])
    return table


def _header(above: str, below: str) -> Text:
    return Text.assemble((above, "bold"), "\n", (below, "dim" if above else "bold"))


def _cells(row: ModeRow) -> tuple[Text, ...]:
    if row.has_failed:
        return Text(""), Text("failed", style="red")
    ratio = Text(
        f"{MARKS[row.ratio.sign]} {row.ratio.shown}" if row.ratio.sign else row.ratio.shown
    )
    ratio.stylize(STYLES.get(row.ratio.sign, "dim"))
    return Text(row.precision), Text(row.times[-1][0]), ratio, Text(row.agreement), Text(row.setup)
