"""Precision over recall."""

import plotly.graph_objects as go

from harness.report.figures.drawing import (
    Panel,
    hundredths,
    lay_out,
    lined,
    named,
)
from harness.report.figures.figure import Figure, Table
from harness.report.figures.numbers import analysed, mean, show
from harness.report.palette import marks
from harness.results.run import Run

LEVELS = {"0.50": "IoU 0.50", "0.75": "IoU 0.75", "0.50:0.95": "mean of IoU 0.50 to 0.95"}
RECALLS = (0.1, 0.3, 0.5, 0.7, 0.9)
NOTE = (
    "COCO's interpolated precision at 101 recalls, mean over classes and seeds. The area below a "
    "curve is AP50, AP75 and AP. A curve falls to zero where no more objects are found."
)


def precision_recall(run: Run) -> Figure | None:
    """Precision over recall at three overlaps."""
    cells = analysed(run)
    levels = [level for level in LEVELS if any(level in c.precision for f in cells.values()
                                               for c in f)]  # fmt: skip
    if not levels:
        return None
    style, traces, rows = marks(run.detectors), [], []
    for number, level in enumerate(levels):
        for name, found in cells.items():
            curves = [cell.precision[level] for cell in found if level in cell.precision]
            if not curves:
                continue
            precision = [mean(values) for values in zip(*curves, strict=True)]
            traces.append(
                go.Scatter(
                    x=hundredths(found[0].recall),
                    y=hundredths(precision),
                    mode="lines",
                    line=lined(style[name]),
                    hovertemplate="precision %{y:.0f} at recall %{x:.0f}",
                    **named(name, number),
                )
            )
            at = [round(r * (len(precision) - 1)) for r in RECALLS]
            rows.append((LEVELS[level], name, *(show(100 * precision[i]) for i in at)))
    panels = [
        Panel(
            {"title": {"text": f"recall (%), {LEVELS[level]}"}, "range": [0, 100]},
            {"range": [0, 102], "title": {"text": "precision (%)"}},
            number,
        )
        for number, level in enumerate(levels)
    ]
    plot = lay_out(traces, panels, columns=len(levels), height=320)
    heads = ("overlap", "detector", *(f"at recall {100 * r:.0f} %" for r in RECALLS))
    return Figure("precision-recall", "Precision and recall", NOTE, plot, Table(heads, tuple(rows)))
