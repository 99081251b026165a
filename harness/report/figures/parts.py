"""What a detector's cost and time are made of: a bar for each detector, in parts."""

from collections.abc import Mapping
from itertools import pairwise

import pandas as pd
import plotly.graph_objects as go

from harness.plugin.metrics import MetricSpec
from harness.report import figure
from harness.report.figures.repetitions import timed
from harness.report.format import DASH, amount, heading
from harness.results.run import Run

ROLE = "role/"
Shares = Mapping[str, Mapping[str, float]]  # detector -> part -> recorded value


def build_costs(run: Run) -> figure.Drawing | None:
    """Every count that is known by role."""
    scopes: dict[str, dict[str, str]] = {}  # metric -> scope -> role
    for record in run.measured:
        if record.scope.startswith(ROLE):
            role = record.scope.removeprefix(ROLE).replace("_", " ")
            scopes.setdefault(record.metric, {})[record.scope] = role
    counts = [spec for spec in run.metrics() if spec.kind == "count" and spec.name in scopes]
    shares = {
        spec: {
            name: {role: found.value for scope, role in scopes[spec.name].items()
                   if (found := run.estimate(name, spec.name, scope)).is_there}
            for name in run.detectors
        }
        for spec in counts
    }  # fmt: skip
    seeds = figure.if_seeds(run, ", mean over seeds")
    note = f"Length: what a part adds{seeds}. Detectors that come whole show fewer parts."
    return _stack(shares, note)


def build_times(run: Run) -> figure.Drawing | None:
    """The time by which detectors are ranked, split at the shorter spans that it contains."""
    whole = timed(run)
    spans = [spec for spec in run.metrics() if whole is not None and _is_span(spec, whole)]
    if whole is None or len(spans) < 2:
        return None
    of = {name: {s: run.estimate(name, s.name).value for s in spans} for name in run.detectors}
    of = {name: times for name, times in of.items() if all(t == t for t in times.values())}
    order = sorted(spans, key=lambda span: sum(times[span] for times in of.values()))
    shares = {
        name: {order[0].title: times[order[0]]}
        | {f"rest of {b.title}": times[b] - times[a] for a, b in pairwise(order)}
        for name, times in of.items()
    }
    note = (
        f"{'Medians' if whole.percent == 50 else f'p{whole.percent:g}'}"
        f"{figure.if_seeds(run, ', mean over seeds')}. The shortest span is timed by itself; “rest "
        "of” is what a longer one takes beyond the one before. These are differences of separate "
        "timings, which may fall below zero by noise."
    )
    return _stack({whole: shares}, note)


def _is_span(spec: MetricSpec, whole: MetricSpec) -> bool:
    """The same percentile, of what is timed under the same conditions."""
    keys = ("kind", "unit", "interval", "percent", "protocol", "settings")
    same = all(getattr(spec, key) == getattr(whole, key) for key in keys)
    return same and spec.percent is not None


def _stack(panels: Mapping[MetricSpec, Shares], note: str) -> figure.Drawing | None:
    """A panel for each metric; parts and detectors without any are left out."""
    shares = {spec: {name: of for name, of in found.items() if any(of.values())}
              for spec, found in panels.items()}  # fmt: skip
    shares = {spec: found for spec, found in shares.items() if found}
    if not shares:
        return None
    bars = [of for found in shares.values() for of in found.values()]
    parts = list(dict.fromkeys(part for of in bars for part, value in of.items() if value))
    height = 100 + 38 * max(map(len, shares.values()))
    plot = figure.panels(len(shares), height=height, alike=True)
    for n, (spec, found) in enumerate(shares.items()):
        for part, style in figure.styles(parts).items():
            bar = go.Bar(
                x=[figure.drawn(spec, of[part]) if part in of else None for of in found.values()],
                y=[figure.plain(name) for name in found],
                orientation="h",
                marker=style.fill(),
                hovertemplate=f"%{{y}}: {figure.hover('x', spec)}",
                **figure.named(part, legend=n == 0),
            )
            plot.add_trace(bar, **figure.place(plot, n))
        title = figure.plain(heading(spec))
        plot.update_xaxes(title_text=title, nticks=6, **figure.place(plot, n))
    plot.update_yaxes(autorange="reversed", type="category")
    plot.update_layout(barmode="relative", bargap=0.35)
    rows = [
        [name, heading(spec), *(amount(spec, of[p]) if p in of else DASH for p in parts),
         amount(spec, sum(of.values()))]
        for spec, found in shares.items()
        for name, of in found.items()
    ]  # fmt: skip
    return figure.Drawing(plot, note, pd.DataFrame(rows, columns=["detector", "of", *parts, "sum"]))
