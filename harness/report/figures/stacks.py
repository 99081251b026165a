"""Bars made of parts, a bar for each detector."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from harness.plugin.metrics import MetricSpec
from harness.report.figure import hover, named, panels, place, plain, rounded, styles
from harness.report.format import DASH, amount, heading

Shares = Mapping[str, Mapping[str, float]]  # detector -> part -> recorded value


def stack(shares: Mapping[MetricSpec, Shares]) -> tuple[go.Figure, pd.DataFrame]:
    """A panel for each metric and the same numbers as a table; parts without any are left out."""
    parts = list(dict.fromkeys(p for s in shares.values() for d in s.values() for p in d))
    parts = [p for p in parts if any(d.get(p) for s in shares.values() for d in s.values())]
    plot = panels(len(shares), height=100 + 38 * max(map(len, shares.values())), alike=True)
    for number, (spec, found) in enumerate(shares.items()):
        for part, style in styles(parts).items():
            bar: dict[str, Any] = {
                "x": [rounded(of[part] * spec.scale) if part in of else None
                      for of in found.values()],
                "y": [plain(name) for name in found],
                "orientation": "h",
                "marker": style.fill(),
                "hovertemplate": f"%{{y}}: {hover('x', spec)}",
            }  # fmt: skip
            plot.add_trace(
                go.Bar(**bar, **named(part, legend=number == 0)), **place(plot, number)
            )
        plot.update_xaxes(title_text=plain(heading(spec)), nticks=6, **place(plot, number))
    plot.update_yaxes(autorange="reversed", type="category")
    plot.update_layout(barmode="relative", bargap=0.35)
    rows = [
        [name, heading(spec), *(amount(spec, of[p]) if p in of else DASH for p in parts),
         amount(spec, sum(of.values()))]
        for spec, found in shares.items()
        for name, of in found.items()
    ]  # fmt: skip
    return plot, pd.DataFrame(rows, columns=["detector", "of", *parts, "sum"])
