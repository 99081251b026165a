"""Each score against each cost."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pandas as pd
import plotly.graph_objects as go

from harness.manifest.schema import Published
from harness.plugin.metrics import MetricSpec
from harness.report.figure import (
    NEUTRAL,
    Drawing,
    Style,
    hover,
    if_seeds,
    log_axis,
    named,
    panels,
    place,
    plain,
    rounded,
    shown,
    styles,
)
from harness.report.format import heading, listing
from harness.results.claims import factor_of
from harness.results.estimate import Estimate
from harness.results.ranking import on_front
from harness.results.run import Run

PUBLISHED = (
    " Crossed hollow marks, switched on in the legend, were published by others on other data "
    "and were not measured here."
)
Pair = tuple[Estimate, Estimate]  # cost, score


def build(run: Run) -> list[Drawing]:
    """A figure per score by which detectors are ranked, with a panel per cost."""
    drawn = (_draw(run, score) for score in run.ranked("score"))
    return [drawing for drawing in drawn if drawing is not None]


def _draw(run: Run, score: MetricSpec) -> Drawing | None:
    pairs = {cost: _pairs(run, score, cost) for cost in run.ranked("cost")}
    pairs = {cost: found for cost, found in pairs.items() if found}
    if not pairs:
        return None
    plot = panels(len(pairs), height=340, alike=True)
    style = styles(run.detectors)
    legend: set[str] = set()
    for number, (cost, found) in enumerate(pairs.items()):
        traces = [_front(found), *(t for name, p in found.items() for t in _points(name, p, style))]
        for trace in (*traces, *_published(run, score, cost, style)):
            trace.showlegend = trace.showlegend is not False and trace.legendgroup not in legend
            legend |= {trace.legendgroup} if trace.showlegend else set()
            plot.add_trace(trace, **place(plot, number))
        values = [value.value * cost.scale for value, _ in found.values()]
        plot.update_xaxes(title_text=plain(heading(cost)), **log_axis(values), **place(plot, number))
    plot.update_yaxes(title_text=plain(heading(score)), col=1)
    note = _note(run, score, list(pairs)) + (PUBLISHED if "published" in legend else "")
    return Drawing(plot, note, _table(run, score, list(pairs)), f"{score.title} against cost")


def _note(run: Run, score: MetricSpec, costs: Sequence[MetricSpec]) -> str:
    higher = all(cost.higher_is_better for cost in costs)
    lower = not any(cost.higher_is_better for cost in costs)
    where = "left " if lower else "right " if higher else ""
    note = f"Higher and further {where}is better. " if where else "Higher is better. "
    note += if_seeds(run, "Filled: mean over seeds; small and hollow: each seed. ")
    note += (
        "Bars are 95 % intervals, of the score upwards and of the cost sideways, where they are "
        "known. On the grey steps lie the detectors that no other beats in both."
    )
    invalid = [
        name
        for name in run.detectors
        if any(run.estimate(name, s.name).level == "invalid" for s in (score, *costs))
    ]
    return note + (f" Not drawn where a number is invalid: {listing(invalid)}." if invalid else "")


def _pairs(run: Run, score: MetricSpec, cost: MetricSpec) -> dict[str, Pair]:
    """Of the detectors that have both, neither invalid."""
    both = {n: (run.estimate(n, cost.name), run.estimate(n, score.name)) for n in run.detectors}
    return {name: pair for name, pair in both.items() if all(one.is_usable for one in pair)}


def _at(estimate: Estimate, value: float | None = None) -> float:
    return rounded((estimate.value if value is None else value) * estimate.metric.scale)


def _front(pairs: dict[str, Pair]) -> go.Scatter:
    """A step: what the cheaper one reaches holds until the next comes."""
    sign = {name: -1.0 if cost.metric.higher_is_better else 1.0 for name, (cost, _) in pairs.items()}
    points = {name: (sign[name] * cost.value, score.value) for name, (cost, score) in pairs.items()}
    front = [tuple(map(_at, pairs[name])) for name in on_front(points)]
    corners = [c for a, b in pairwise(front) for c in (a, (b[0], a[1]))] + front[-1:]
    return go.Scatter(
        x=[x for x, _ in corners],
        y=[y for _, y in corners],
        mode="lines",
        line={"color": NEUTRAL, "width": 1.5},
        hoverinfo="skip",
        **named("not beaten in both", "front"),
    )


def _points(name: str, pair: Pair, styles: dict[str, Style]) -> Iterator[go.Scatter]:
    cost, score = pair
    style = styles[name]
    words = f"{hover('y', score.metric)} at {hover('x', cost.metric)}"
    if score.count > 1:
        yield go.Scatter(
            x=[_at(cost, cost.seeds.get(seed, cost.value)) for seed in score.seeds],
            y=[_at(score, value) for value in score.seeds.values()],
            mode="markers",
            marker={"color": style.color, "symbol": f"{style.symbol}-open", "size": 6},
            hovertemplate=f"a seed: {words}",
            **named(name, legend=False),
        )
    x, y = ([n * one.metric.scale for n in (one.value, one.low, one.high)] for one in pair)
    yield go.Scatter(
        x=[rounded(x[0])],
        y=[rounded(y[0])],
        mode="markers",
        marker={"color": style.color, "symbol": style.symbol, "size": 11},
        error_x=style.bars(*x),
        error_y=style.bars(*y),
        hovertemplate=words,
        **named(name),
    )


def _published(
    run: Run, score: MetricSpec, cost: MetricSpec, styles: dict[str, Style]
) -> Iterator[go.Scatter]:
    """Points of which both numbers were published, in units that are known here."""
    claims = [Published.model_validate(entry) for entry in run.plan.get("published", ())]
    found = {
        spec.name: {c.detector: c.value * factor_of(c, spec) * spec.scale for c in claims
                    if c.metric == spec.name}
        for spec in (score, cost)
    }  # fmt: skip
    for name, x in found[cost.name].items():
        y = found[score.name].get(name)
        if y is None or x != x or y != y:  # NaN: the unit is another
            continue
        yield go.Scatter(
            x=[rounded(x)],
            y=[rounded(y)],
            mode="markers+text",
            text=[plain(name)],
            textposition="top center",
            textfont={"color": NEUTRAL, "size": 11},
            marker={"color": styles[name].color if name in styles else NEUTRAL,
                    "symbol": "circle-x-open", "size": 10},
            visible="legendonly",
            hovertemplate=f"published: {hover('y', score)} at {hover('x', cost)}",
            **named("published, not measured here", "published"),
        )  # fmt: skip


def _table(run: Run, score: MetricSpec, costs: Sequence[MetricSpec]) -> pd.DataFrame:
    rows = [
        [name, *(shown(run.estimate(name, spec.name)) for spec in (score, *costs))]
        for name in run.detectors
    ]
    return pd.DataFrame(rows, columns=["detector", *map(heading, (score, *costs))])
