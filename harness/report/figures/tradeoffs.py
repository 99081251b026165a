"""Each score against each cost."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import pandas as pd
import plotly.graph_objects as go

from harness.manifest.schema import Published
from harness.plugin.metrics import MetricSpec
from harness.report import figure
from harness.report.format import heading, listing
from harness.results.claims import factor_of
from harness.results.estimate import Estimate
from harness.results.ranking import on_front
from harness.results.run import Run

FRONT = " The grey steps join the detectors that no other beats in both."
PUBLISHED = (
    " Crossed hollow marks, switched on in the legend, were published by others on other data "
    "and were not measured here."
)
Pair = tuple[Estimate, Estimate]  # cost, score
Styles = Mapping[str, figure.Style]


def build(run: Run) -> list[figure.Drawing]:
    """A figure per score by which detectors are ranked, with a panel per cost."""
    made = (draw(run, score, run.ranked("cost")) for score in run.ranked("score"))
    return [drawing for drawing in made if drawing is not None]


def draw(run: Run, score: MetricSpec, costs: Sequence[MetricSpec]) -> figure.Drawing | None:
    """One score against some costs, None where no detector has both."""
    pairs = {cost: found for cost in costs if (found := _pairs(run, score, cost))}
    if not pairs:
        return None
    plot, style = figure.panels(len(pairs), height=340, alike=True), figure.styles(run.detectors)
    legend: set[str] = set()
    for n, (cost, found) in enumerate(pairs.items()):
        points = [trace for name, pair in found.items() for trace in _points(name, pair, style)]
        front = [_front(found)] if len(found) > 1 else []
        for trace in (*front, *points, *_published(run, score, cost, style)):
            trace.showlegend = trace.showlegend and trace.legendgroup not in legend
            legend |= {trace.legendgroup} if trace.showlegend else set()
            plot.add_trace(trace, **figure.place(plot, n))
        axis = figure.log_axis([cost.scale * value.value for value, _ in found.values()])
        title = figure.plain(heading(cost))
        plot.update_xaxes(title_text=title, **axis, **figure.place(plot, n))
    plot.update_yaxes(title_text=figure.plain(heading(score)), col=1)
    plot.update_yaxes(rangemode="nonnegative")
    note = _note(run, score, list(pairs)) + FRONT * ("front" in legend)
    note += PUBLISHED * ("published" in legend)
    rows = [
        [name, *(figure.shown(run.estimate(name, spec.name)) for spec in (score, *pairs))]
        for name in run.detectors
    ]
    table = pd.DataFrame(rows, columns=["detector", *map(heading, (score, *pairs))])
    return figure.Drawing(plot, note, table, f"{score.title} against cost")


def _note(run: Run, score: MetricSpec, costs: Sequence[MetricSpec]) -> str:
    ways = {cost.better for cost in costs}
    side = {"lower": " and further left", "higher": " and further right"}
    up = "Higher" if score.higher_is_better else "Lower"
    better = f"{up}{side[ways.pop()] if len(ways) == 1 else ''} is better. "
    seeds = figure.if_seeds(run, "Filled: mean over seeds; small and hollow: each seed. ")
    note = f"{better}{seeds}Bars are 95 % intervals where they are known."
    return " ".join([note, *undrawn(run, (score, *costs))])


def undrawn(run: Run, named: Sequence[MetricSpec]) -> Iterator[str]:
    """Which detectors lack a number, and which have one that is not to be believed."""
    found = {n: [run.estimate(n, spec.name) for spec in named] for n in run.detectors}
    without: dict[str, list[str]] = {}
    for name, own in found.items():
        lacking = listing(one.metric.title for one in own if not one.is_there)
        if lacking:
            without.setdefault(lacking, []).append(name)
    for what, names in without.items():
        yield f"Not drawn: {listing(names)}, without {what}."
    invalid = [n for n, own in found.items() if any(one.level == "invalid" for one in own)]
    if invalid:
        yield f"Not drawn where a number is invalid: {listing(invalid)}."


def _pairs(run: Run, score: MetricSpec, cost: MetricSpec) -> dict[str, Pair]:
    """Of the detectors that have both, neither invalid."""
    both = {n: (run.estimate(n, cost.name), run.estimate(n, score.name)) for n in run.detectors}
    return {name: pair for name, pair in both.items() if all(one.is_usable for one in pair)}


def _front(pairs: Mapping[str, Pair]) -> go.Scatter:
    """A step: what the cheaper one reaches holds until the next comes."""
    points = {name: (cost.worth, -score.worth) for name, (cost, score) in pairs.items()}
    front = [[figure.drawn(one.metric, one.value) for one in pairs[n]] for n in on_front(points)]
    corners = [corner for a, b in pairwise(front) for corner in (a, [b[0], a[1]])] + front[-1:]
    return go.Scatter(
        x=[x for x, _ in corners],
        y=[y for _, y in corners],
        mode="lines",
        line={"color": figure.NEUTRAL, "width": 1.5},
        hoverinfo="skip",
        **figure.named("not beaten in both", "front"),
    )


def _points(name: str, pair: Pair, styles: Styles) -> Iterator[go.Scatter]:
    cost, score = pair
    x, y, style = cost.metric, score.metric, styles[name]
    words = f"{figure.hover('y', y)} at {figure.hover('x', x)}"
    if score.count > 1:
        yield go.Scatter(
            x=[figure.drawn(x, cost.seeds.get(seed, cost.value)) for seed in score.seeds],
            y=[figure.drawn(y, value) for value in score.seeds.values()],
            mode="markers",
            marker={"color": style.color, "symbol": f"{style.symbol}-open", "size": 6},
            hovertemplate=f"a seed: {words}",
            **figure.named(name, legend=False),
        )
    yield go.Scatter(
        x=[figure.drawn(x, cost.value)],
        y=[figure.drawn(y, score.value)],
        mode="markers",
        marker={"color": style.color, "symbol": style.symbol, "size": 11},
        error_x=style.bars([cost]),
        error_y=style.bars([score]),
        hovertemplate=words,
        **figure.named(name),
    )


def _published(
    run: Run, score: MetricSpec, cost: MetricSpec, styles: Styles
) -> Iterator[go.Scatter]:
    """Points of which both numbers were published, in units that are known here."""
    claims = [Published.model_validate(entry) for entry in run.plan.get("published", ())]
    xs, ys = (
        {c.detector: figure.drawn(spec, c.value * factor_of(c, spec)) for c in claims
         if c.metric == spec.name and factor_of(c, spec) == factor_of(c, spec)}
        for spec in (cost, score)
    )  # fmt: skip
    for name in (name for name in xs if name in ys):
        color = styles[name].color if name in styles else figure.NEUTRAL
        yield go.Scatter(
            x=[xs[name]],
            y=[ys[name]],
            mode="markers+text",
            text=[figure.plain(name)],
            textposition="top center",
            textfont={"color": figure.NEUTRAL, "size": 11},
            marker={"color": color, "symbol": "circle-x-open", "size": 10},
            visible="legendonly",
            hovertemplate=f"published: {figure.hover('y', score)} at {figure.hover('x', cost)}",
            **figure.named("published, not measured here", "published"),
        )
