"""What kinds of errors cost how much."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from harness.report import figure
from harness.report.format import number
from harness.results.ap.types import CellAnalysis
from harness.results.run import Run

ALL = "all sizes"
Costs = Mapping[str, tuple[float, float]]  # kind -> count, cost
NOTE = (
    "AP50 that would be gained if one kind of error alone were corrected{seeds} (TIDE, "
    "arXiv 2008.08115). The gains overlap and do not add up. Localisation: right class, box "
    "off; both: class and box wrong; background: nothing there."
)


def build(run: Run) -> figure.Drawing | None:
    """Cost in AP50 of the six kinds of errors, of all objects and by size."""
    cells = figure.analysed(run)
    if not cells:
        return None
    kinds = next(iter(cells.values()))[0].errors
    sizes = [ALL, *kinds[0].by_size]
    plot = figure.panels(len(sizes), height=110 + 6 * (14 + 7 * len(cells)), most=2, alike=True)
    style, rows = figure.styles(run.detectors), []
    for n, size in enumerate(sizes):
        for name, found in cells.items():
            costs = _costs(found, size)
            bar = go.Bar(
                x=figure.percents([cost for _, cost in costs.values()]),
                y=list(costs),
                orientation="h",
                marker=style[name].fill(),
                hovertemplate="%{y}: %{x:.1f} % AP50",
                **figure.named(name, legend=n == 0),
            )
            plot.add_trace(bar, **figure.place(plot, n))
            told = (f"{number(100 * cost)} ({count:.0f})" for count, cost in costs.values())
            rows.append([size, name, *told])
        of = size if size == ALL else f"{size} objects"
        plot.update_xaxes(
            title_text=figure.plain(f"AP50 gained (%), {of}"), **figure.place(plot, n)
        )
    plot.update_yaxes(type="category", autorange="reversed")
    plot.update_layout(bargap=0.25)
    heads = ["objects", "detector", *(f"{kind.name}: AP50 (errors)" for kind in kinds)]
    note = NOTE.format(seeds=figure.if_seeds(run, ", mean over seeds"))
    return figure.Drawing(plot, note, pd.DataFrame(rows, columns=heads))


def _costs(found: Sequence[CellAnalysis], size: str) -> Costs:
    """Means over seeds."""
    costs = {}
    for kinds in zip(*(cell.errors for cell in found), strict=True):
        pairs = [(k.count, k.cost) if size == ALL else k.by_size[size] for k in kinds]
        count, cost = np.mean(pairs, axis=0).tolist()
        costs[kinds[0].name] = (count, cost)
    return costs
