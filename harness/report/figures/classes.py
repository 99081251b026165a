"""The main score of each class."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from harness.report import figure
from harness.report.format import DASH, heading
from harness.results.estimate import Estimate
from harness.results.run import CLASS, Run

MOST = 24  # classes drawn
LONGEST = 22  # letters of a tick
Scores = Mapping[str, Mapping[str, Estimate]]  # detector -> class -> score


def build(run: Run) -> figure.Drawing | None:
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
    chosen = ordered if len(ordered) <= MOST else ordered[:half] + ordered[-half:]
    plot = figure.panels(1, height=56 + len(chosen) * (18 + 9 * len(scores)))
    style = figure.styles(run.detectors)
    for place, (name, found) in enumerate(scores.items()):
        of = [found[key] for key in chosen]
        # detectors stand above one another within a class
        offset = 0.6 * (place / (len(scores) - 1) - 0.5) if len(scores) > 1 else 0.0
        points = go.Scatter(
            x=[figure.drawn(spec, one.value) for one in of],
            y=[round(i + offset, 3) for i in range(len(of))],
            mode="markers",
            marker={"color": style[name].color, "symbol": style[name].symbol, "size": 9},
            error_x=style[name].bars(of),
            customdata=[figure.plain(key) for key in chosen],
            hovertemplate=f"%{{customdata}}: {figure.hover('x', spec)}",
            **figure.named(name),
        )
        plot.add_trace(points)
    plot.update_xaxes(title_text=figure.plain(heading(spec)), rangemode="tozero")
    plot.update_yaxes(
        tickmode="array",
        tickvals=list(range(len(chosen))),
        ticktext=[figure.plain(_short(key)) for key in chosen],
        range=[len(chosen) - 0.4, -0.6],
    )
    over = f"detectors{figure.if_seeds(run, ' and seeds')}"
    note = f"Classes by the mean over {over}. Bars are 95 % intervals over images."
    if len(chosen) < len(ordered):
        note += f" Drawn are the best {half} and the worst {half} of {len(ordered)}; all are below."
    return figure.Drawing(plot, note, _table(ordered, scores), f"{spec.title} by class")


def _sort(keys: Sequence[str], scores: Scores) -> list[str]:
    """Classes that have a score, by the mean over detectors, ties by name."""
    values = {key: [f[key].value for f in scores.values() if f[key].is_there] for key in keys}
    means = {key: sum(there) / len(there) for key, there in values.items() if there}
    return sorted(means, key=lambda key: (-means[key], key))


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _table(ordered: Sequence[str], scores: Scores) -> pd.DataFrame:
    rows = []
    for key in ordered:
        found = [of[key] for of in scores.values()]
        counts = [e.conditions["boxes"] for e in found if "boxes" in e.conditions]
        rows.append([key, str(max(counts, default=DASH)), *map(figure.shown, found)])
    return pd.DataFrame(rows, columns=["class", "objects", *scores])
