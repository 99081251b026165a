"""The main score of each class."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from harness.report.figure import (
    Drawing,
    Style,
    hover,
    if_seeds,
    named,
    panels,
    plain,
    rounded,
    shown,
    styles,
)
from harness.report.format import DASH, heading
from harness.results.estimate import Estimate
from harness.results.run import CLASS, Run

MOST = 24  # classes drawn
LONGEST = 22  # letters of a tick
Scores = Mapping[str, Mapping[str, Estimate]]  # detector -> class -> score


def build(run: Run) -> Drawing | None:
    """The score by class with intervals, the best class on top."""
    spec = run.catalog.main_score
    if spec is None:
        return None
    scopes = dict.fromkeys(r.scope for r in run.measured if r.metric == spec.name)
    keys = [scope.removeprefix(CLASS) for scope in scopes if scope.startswith(CLASS)]
    scores = {
        name: {key: run.estimate(name, spec.name, f"{CLASS}{key}") for key in keys}
        for name in run.detectors
    }
    scores = {n: found for n, found in scores.items() if any(e.is_there for e in found.values())}
    ordered = _sort(keys, scores)
    if not ordered:
        return None
    half = MOST // 2
    drawn = ordered if len(ordered) <= MOST else ordered[:half] + ordered[-half:]
    plot = panels(1, height=56 + len(drawn) * (18 + 9 * len(scores)))
    style = styles(run.detectors)
    for i, (name, found) in enumerate(scores.items()):
        plot.add_trace(_trace(name, [found[key] for key in drawn], drawn, style[name],
                              _offset(i, len(scores))))  # fmt: skip
    plot.update_xaxes(title_text=plain(heading(spec)), rangemode="tozero")
    plot.update_yaxes(
        tickmode="array",
        tickvals=list(range(len(drawn))),
        ticktext=[plain(_short(key)) for key in drawn],
        range=[len(drawn) - 0.4, -0.6],
    )
    over = f"detectors{if_seeds(run, ' and seeds')}"
    note = f"Classes by the mean over {over}. Bars are 95 % intervals over images."
    if len(drawn) < len(ordered):
        note += f" Drawn are the best {half} and the worst {half} of {len(ordered)}; all are below."
    return Drawing(plot, note, _table(ordered, scores), f"{spec.title} by class")


def _sort(keys: Sequence[str], scores: Scores) -> list[str]:
    """Classes that have a score, by the mean over detectors, ties by name."""
    values = {key: [f[key].value for f in scores.values() if f[key].is_there] for key in keys}
    means = {key: sum(there) / len(there) for key, there in values.items() if there}
    return sorted(means, key=lambda key: (-means[key], key))


def _offset(place: int, count: int) -> float:
    """Detectors stand above one another within a class."""
    return 0.0 if count == 1 else 0.6 * (place / (count - 1) - 0.5)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _trace(
    name: str, found: Sequence[Estimate], keys: Sequence[str], style: Style, offset: float
) -> go.Scatter:
    spec = found[0].metric
    ends = [(spec.scale * e.value, spec.scale * e.low, spec.scale * e.high) for e in found]
    bars = [(0.0, 0.0) if math.isnan(low) else (value - low, high - value)
            for value, low, high in ends]  # fmt: skip
    return go.Scatter(
        x=[rounded(value) for value, _, _ in ends],
        y=[round(i + offset, 3) for i in range(len(found))],
        mode="markers",
        marker={"color": style.color, "symbol": style.symbol, "size": 9},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [rounded(up) for _, up in bars],
            "arrayminus": [rounded(down) for down, _ in bars],
            "color": style.color,
            "thickness": 1.5,
            "width": 3,
        },
        customdata=[plain(key) for key in keys],
        hovertemplate=f"%{{customdata}}: {hover('x', spec)}",
        **named(name),
    )


def _table(ordered: Sequence[str], scores: Scores) -> pd.DataFrame:
    rows = []
    for key in ordered:
        found = [of[key] for of in scores.values()]
        counts = [e.conditions["boxes"] for e in found if "boxes" in e.conditions]
        rows.append([key, str(max(counts)) if counts else DASH, *map(shown, found)])
    return pd.DataFrame(rows, columns=["class", "objects", *scores])
