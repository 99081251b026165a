"""Precision over recall."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from harness.report import figure
from harness.report.format import number
from harness.results.run import Run

LEVELS = {"0.50": "IoU 0.50", "0.75": "IoU 0.75", "0.50:0.95": "mean of IoU 0.50 to 0.95"}
RECALLS = (0.1, 0.3, 0.5, 0.7, 0.9)
NOTE = (
    "COCO's interpolated precision at 101 recalls, mean over classes{seeds}. The area below a "
    "curve is AP50, AP75 and AP. A curve falls to zero where no more objects are found."
)


def build(run: Run) -> figure.Drawing | None:
    """Precision over recall at three overlaps."""
    cells = figure.analysed(run)
    if not cells:
        return None
    plot, rows = figure.panels(len(LEVELS), height=320, alike=True), []
    style = figure.styles(run.detectors)
    for n, (level, title) in enumerate(LEVELS.items()):
        for name, found in cells.items():
            precision = np.mean([cell.precision[level] for cell in found], axis=0).tolist()
            curve = go.Scatter(
                x=figure.percents(found[0].recall),
                y=figure.percents(precision),
                mode="lines",
                line=style[name].line(),
                hovertemplate="precision %{y:.0f} % at recall %{x:.0f} %",
                **figure.named(name, legend=n == 0),
            )
            plot.add_trace(curve, **figure.place(plot, n))
            at = [round(r * (len(precision) - 1)) for r in RECALLS]
            rows.append([title, name, *(number(100 * precision[i]) for i in at)])
        axis = {"title_text": f"recall (%), {title}", "range": [0, 100]}
        plot.update_xaxes(**axis, **figure.place(plot, n))
    plot.update_yaxes(range=[0, 102])
    plot.update_yaxes(title_text="precision (%)", col=1)
    heads = ["overlap", "detector", *(f"at recall {100 * r:.0f} %" for r in RECALLS)]
    note = NOTE.format(seeds=figure.if_seeds(run, " and seeds"))
    return figure.Drawing(plot, note, pd.DataFrame(rows, columns=heads))
