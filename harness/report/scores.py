"""The table of `harness score`."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from harness.files import write_text
from harness.records.measurement import Measurement
from harness.report.cells import TITLES


def scores_table(measured: Sequence[Measurement], title: str) -> Table:
    """One row per number; AP as 0 to 100."""
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("metric", no_wrap=True)
    table.add_column("of", no_wrap=True)
    table.add_column("%", justify="right", no_wrap=True)
    for m in measured:
        shown = "–" if math.isnan(m.value) else f"{100 * m.value:.2f}"
        table.add_row(TITLES.get(m.metric, m.metric), m.scope.removeprefix("class/"), shown)
    return table


def write_scores(path: Path, measured: Sequence[Measurement]) -> None:
    """metric, scope, value (0 to 1, all digits), count."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["metric", "scope", "value", "count"])
    writer.writerows([m.metric, m.scope, repr(m.value), m.count] for m in measured)
    write_text(path, text.getvalue())
