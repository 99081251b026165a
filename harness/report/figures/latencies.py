"""How long each repetition took."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from harness.report.figures.drawing import (
    Panel,
    lay_out,
    lined,
    log_axis,
    named,
    rounded,
    spread_log,
)
from harness.report.figures.figure import Figure, Table
from harness.report.figures.numbers import show
from harness.report.palette import Mark, marks
from harness.report.sections.measured import make_board
from harness.results.run import Run

METRIC = "latency_end_to_end_p50"
PERCENTS = (50, 90, 99)
POINTS = 200
NOTE = (
    "How many of 100 repetitions took at most so long, from decoded image to detections, all seeds "
    "together. A steep curve is a steady detector. Filled marks stand at the median, hollow ones "
    "at the 99th percentile; nothing was left out."
)


def latency_distributions(run: Run) -> Figure | None:
    """Share of repetitions over their time."""
    board = make_board(run, (METRIC,))
    samples = {name: np.sort(board.of(name, METRIC).samples) for name in run.detectors}
    samples = {name: times for name, times in samples.items() if len(times)}
    if not samples:
        return None
    style = marks(run.detectors)
    traces = [t for name, times in samples.items() for t in _trace(name, times, style[name])]
    x: dict[str, Any] = {"title": {"text": "latency (ms)"}, "nticks": 8}
    ends = [float(t) for times in samples.values() for t in times[[0, -1]]]
    if spread_log(ends):
        x = {"title": x["title"], **log_axis(ends)}
    y = {"title": {"text": "repetitions (%)"}, "range": [-2, 102]}
    plot = lay_out(traces, [Panel(x, y, 0)], columns=1, height=360)
    rows = tuple(
        (name, *(show(float(np.percentile(times, p)), 2) for p in PERCENTS), str(len(times)))
        for name, times in samples.items()
    )
    heads = ("detector", *(f"p{p} (ms)" for p in PERCENTS), "repetitions")
    return Figure("latency-ecdf", "Latency of each repetition", NOTE, plot, Table(heads, rows))


def _trace(name: str, times: Any, mark: Mark) -> list[Any]:
    percents = np.linspace(0, 100, min(len(times), POINTS))
    line = go.Scatter(
        x=[rounded(float(t)) for t in np.percentile(times, percents)],
        y=[rounded(float(p)) for p in percents],
        mode="lines",
        line=lined(mark),
        hovertemplate="%{y:.0f} % within %{x:.4g} ms",
        **{**named(name, 0), "showlegend": False},
    )
    points = go.Scatter(
        x=[rounded(float(np.percentile(times, p))) for p in (50, 99)],
        y=[50, 99],
        mode="lines+markers",
        line={**lined(mark), "width": 0.01},
        marker={
            "symbol": [mark.symbol, f"{mark.symbol}-open"],
            "size": 10,
            "color": mark.color,
        },
        hovertemplate="p%{y}: %{x:.4g} ms",
        **named(name, 0),
    )
    return [line, points]
