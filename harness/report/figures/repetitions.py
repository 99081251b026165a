"""How long each repetition took."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from harness.plugin.metrics import MetricSpec
from harness.report import figure
from harness.report.format import amount, heading
from harness.results.run import Run
from harness.results.samples.percentiles import percentile

PERCENTS = (50, 90, 99)
MARKED = (50, 99)
POINTS = 200


def timed(run: Run) -> MetricSpec | None:
    """The time by which detectors are ranked, else the first that has samples."""
    times = [spec for spec in run.metrics() if spec.kind == "time"]
    there = [s for s in times if any(run.estimate(n, s.name).samples for n in run.detectors)]
    return next(iter(sorted(there, key=lambda spec: spec.role != "cost")), None)


def build(run: Run) -> figure.Drawing | None:
    """Share of repetitions over their time."""
    spec = timed(run)
    if spec is None:
        return None
    samples = {name: run.estimate(name, spec.name).samples for name in run.detectors}
    samples = {name: times for name, times in samples.items() if times}
    plot, style = figure.panels(1, height=360), figure.styles(run.detectors)
    for name, times in samples.items():
        plot.add_traces(list(_traces(name, times, spec, style[name])))
    ends = [spec.scale * end for times in samples.values() for end in (min(times), max(times))]
    axis = figure.log_axis(ends)
    if "type" not in axis:
        axis = {"nticks": 8}  # steep curves beside one another need no zero
    plot.update_xaxes(title_text=figure.plain(heading(spec)), **axis)
    plot.update_yaxes(title_text="repetitions (%)", range=[-2, 102])
    note = (
        "Share of the repetitions that took no longer than this"
        f"{figure.if_seeds(run, ', all seeds together')}. A steep curve is a steady detector. "
        "Filled marks: the median; hollow ones: the 99th percentile. Nothing was left out."
    )
    rows = [
        [name, *(amount(spec, percentile(times, p)) for p in PERCENTS), str(len(times))]
        for name, times in samples.items()
    ]
    heads = ["detector", *(f"p{p} ({spec.shown_unit})" for p in PERCENTS), "repetitions"]
    return figure.Drawing(plot, note, pd.DataFrame(rows, columns=heads))


def _traces(
    name: str, times: Sequence[float], spec: MetricSpec, style: figure.Style
) -> Iterator[go.Scatter]:
    percents = np.linspace(0, 100, min(len(times), POINTS)).tolist()
    yield go.Scatter(
        x=[figure.drawn(spec, percentile(times, p)) for p in percents],
        y=[figure.rounded(p) for p in percents],
        mode="lines",
        line=style.line(),
        hovertemplate=f"%{{y:.0f}} % within {figure.hover('x', spec)}",
        **figure.named(name, legend=False),
    )
    yield go.Scatter(
        x=[figure.drawn(spec, percentile(times, p)) for p in MARKED],
        y=MARKED,
        mode="lines+markers",
        line=style.line(0.01),  # in the legend dash and symbol together
        marker={"symbol": [style.symbol, f"{style.symbol}-open"], "size": 10, "color": style.color},
        hovertemplate=f"p%{{y}}: {figure.hover('x', spec)}",
        **figure.named(name),
    )
