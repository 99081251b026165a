"""How long each repetition took."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from harness.plugin.metrics import MetricSpec
from harness.report.figure import (
    Drawing,
    Style,
    hover,
    if_seeds,
    log_axis,
    named,
    panels,
    plain,
    rounded,
    styles,
)
from harness.report.figures.stages import whole_time
from harness.report.format import amount, heading
from harness.results.run import Run
from harness.results.samples.percentiles import percentile

PERCENTS = (50, 90, 99)
MARKED = (50, 99)
POINTS = 200


def build(run: Run) -> Drawing | None:
    """Share of repetitions over their time."""
    spec = whole_time(run)
    if spec is None:
        return None
    samples = {name: run.estimate(name, spec.name).samples for name in run.detectors}
    samples = {name: times for name, times in samples.items() if times}
    plot, style = panels(1, height=360), styles(run.detectors)
    for name, times in samples.items():
        plot.add_traces(list(_traces(name, times, spec, style[name])))
    ends = [spec.scale * end for times in samples.values() for end in (min(times), max(times))]
    x = {"nticks": 8} if min(ends) * 8 >= max(ends) else log_axis(ends)
    plot.update_xaxes(title_text=plain(heading(spec)), **x)
    plot.update_yaxes(title_text="repetitions (%)", range=[-2, 102])
    note = (
        f"How many of 100 repetitions took at most so long{if_seeds(run, ', all seeds together')}. "
        "A steep curve is a steady detector. Filled marks stand at the median, hollow ones at the "
        "99th percentile; nothing was left out."
    )
    rows = [
        [name, *(amount(spec, percentile(times, p)) for p in PERCENTS), str(len(times))]
        for name, times in samples.items()
    ]
    heads = ["detector", *(f"p{p} ({spec.shown_unit})" for p in PERCENTS), "repetitions"]
    return Drawing(plot, note, pd.DataFrame(rows, columns=heads), f"{spec.title} of each repetition")


def _traces(
    name: str, times: Sequence[float], spec: MetricSpec, style: Style
) -> Iterator[go.Scatter]:
    def at(percents: Sequence[float]) -> list[float]:
        return [rounded(spec.scale * percentile(times, p)) for p in percents]

    percents = np.linspace(0, 100, min(len(times), POINTS)).tolist()
    yield go.Scatter(
        x=at(percents),
        y=[rounded(p) for p in percents],
        mode="lines",
        line=style.line(),
        hovertemplate=f"%{{y:.0f}} % within {hover('x', spec)}",
        **named(name, legend=False),
    )
    yield go.Scatter(
        x=at(MARKED),
        y=MARKED,
        mode="lines+markers",
        line={**style.line(), "width": 0.01},  # in the legend: dash and symbol together
        marker={"symbol": [style.symbol, f"{style.symbol}-open"], "size": 10, "color": style.color},
        hovertemplate=f"p%{{y}}: {hover('x', spec)}",
        **named(name),
    )
