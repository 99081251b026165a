"""AP and AP-small against what they cost."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go

from harness.report.cells import Column
from harness.report.figures.drawing import (
    NEUTRAL,
    Panel,
    axis_names,
    lay_out,
    log_axis,
    named,
    plain,
    rounded,
    spread_log,
)
from harness.report.figures.figure import Figure, Table
from harness.report.palette import marks
from harness.report.sections.front import on_front
from harness.report.sections.measured import Board, Measured, make_board
from harness.results.run import Run

COSTS = ("macs_paper", "latency_end_to_end_p50", "parameters")
NOTE = (
    "Higher and further left is better. Filled: mean over seeds; small and hollow: each seed. "
    "Bars are 95 % intervals, over images upwards and over repetitions sideways. On the grey steps "
    "lie the detectors that no other beats in both."
)
PUBLISHED = (
    " Crossed hollow marks, switched on in the legend, were published by others on other data "
    "and were not measured here."
)
Point = tuple[float, float]


def ap_tradeoffs(run: Run) -> Figure | None:
    """AP against multiply-adds, latency and parameters."""
    return _draw(run, "ap", "ap-cost", "AP against cost")


def ap_small_tradeoffs(run: Run) -> Figure | None:
    """The same of AP-small."""
    return _draw(run, "ap_small", "ap-small-cost", "AP of small objects against cost")


def _draw(run: Run, metric: str, name: str, title: str) -> Figure | None:
    board = make_board(run, (metric, *COSTS))
    costs = [cost for cost in COSTS if _points(board, metric, cost)]
    if not costs:
        return None
    published = _published(run, board, metric, costs)
    traces = [t for n, cost in enumerate(costs) for t in _trace_panel(board, metric, cost, n)]
    y = _title(board.columns[metric], unit=False)
    panels = [
        Panel(_cost_axis(board, metric, cost), {"title": {"text": y}}, n)
        for n, cost in enumerate(costs)
    ]
    plot = lay_out([*traces, *published], panels, columns=len(costs), height=340)
    note = NOTE + _undrawn(board, metric, costs) + (PUBLISHED if published else "")
    return Figure(name, title, note, plot, _table(board, metric, costs))


def _undrawn(board: Board, metric: str, costs: Sequence[str]) -> str:
    names = [
        name
        for name in board.detectors
        if any(board.of(name, of).level == "invalid" for of in (metric, *costs))
    ]
    return f" Not drawn where a number is invalid: {', '.join(names)}." if names else ""


def _title(column: Column, unit: bool = True) -> str:
    return f"{column.title} ({column.unit})" if unit and column.unit else column.title


def _cost_axis(board: Board, metric: str, cost: str) -> dict[str, Any]:
    column = board.columns[cost]
    values = [x for x, _ in _points(board, metric, cost).values()]
    axis: dict[str, Any] = {"title": {"text": _title(column)}}
    if spread_log(values):
        return {**axis, **log_axis(values)}
    return {**axis, "rangemode": "tozero"}


def _points(board: Board, metric: str, cost: str) -> dict[str, Point]:
    """Detector -> (cost, value in 0..100) of those that have both, neither invalid."""
    found = {}
    for name in board.detectors:
        x, y = board.of(name, cost), board.of(name, metric)
        if x.is_usable and y.is_usable:
            found[name] = (rounded(x.value), rounded(100 * y.value))
    return found


def _trace_panel(board: Board, metric: str, cost: str, number: int) -> Iterator[Any]:
    points = _points(board, metric, cost)
    front = [points[name] for name in on_front(points)]
    # a step: what the cheaper one reaches holds until the next comes
    corners = [c for a, b in pairwise(front) for c in (a, (b[0], a[1]))] + front[-1:]
    yield go.Scatter(
        x=[x for x, _ in corners],
        y=[y for _, y in corners],
        mode="lines",
        line={"color": NEUTRAL, "width": 1.5},
        hoverinfo="skip",
        **{**named("Pareto front", number), "name": "not beaten in both"},
    )
    style = marks(board.detectors)
    for name, (x, y) in points.items():
        mark, value, price = style[name], board.of(name, metric), board.of(name, cost)
        yield from _trace_seeds(value, price, named(name, number), mark.color, mark.symbol)
        yield go.Scatter(
            x=[x],
            y=[y],
            mode="markers",
            marker={"color": mark.color, "symbol": mark.symbol, "size": 11},
            error_y=_bars(value, y, 100.0, mark.color),
            error_x=_bars(price, x, 1.0, mark.color),
            hovertemplate="%{y:.1f} at %{x:,.4g}",
            **named(name, number),
        )


def _trace_seeds(
    value: Measured, price: Measured, names: Mapping[str, Any], color: str, symbol: str
) -> Iterator[Any]:
    if value.seeds < 2:
        return
    prices = {record.seed: record.value for record in price.records}
    pairs = [(prices.get(r.seed, price.value), 100 * r.value) for r in value.records]
    yield go.Scatter(
        x=[rounded(x) for x, _ in pairs],
        y=[rounded(y) for _, y in pairs],
        mode="markers",
        marker={"color": color, "symbol": f"{symbol}-open", "size": 6},
        hovertemplate="a seed: %{y:.1f} at %{x:,.4g}",
        **{**names, "showlegend": False},
    )


def _bars(measured: Measured, at: float, scale: float, color: str) -> dict[str, Any] | None:
    if math.isnan(measured.low) or math.isnan(measured.high):
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": [rounded(max(0.0, scale * measured.high - at))],
        "arrayminus": [rounded(max(0.0, at - scale * measured.low))],
        "color": color,
        "thickness": 1.5,
        "width": 4,
    }


def _published(run: Run, board: Board, metric: str, costs: Sequence[str]) -> list[Any]:
    """Points of which both the value and the cost were published, in the unit measured here."""
    claims: dict[tuple[str, str], float] = {}
    for claim in run.plan.get("published", ()):
        column = board.columns.get(claim["metric"])
        unit = "AP" if column is not None and column.unit == "%" else column and column.unit
        factor = claim.get("factor") or (1.0 if claim["unit"] == unit else None)
        if factor is not None:
            claims[claim["detector"], claim["metric"]] = claim["value"] * factor
    style = marks(board.detectors)
    traces: list[Any] = []
    for number, cost in enumerate(costs):
        for name in dict.fromkeys(name for name, _ in claims):
            if (name, metric) not in claims or (name, cost) not in claims:
                continue
            color = style[name].color if name in style else NEUTRAL
            traces.append(
                go.Scatter(
                    x=[claims[name, cost]],
                    y=[rounded(100 * claims[name, metric])],
                    mode="markers+text",
                    text=[plain(name)],
                    textposition="top center",
                    textfont={"color": NEUTRAL, "size": 11},
                    marker={"color": color, "symbol": "circle-x-open", "size": 10},
                    visible="legendonly",
                    name="published, not measured here",
                    legendgroup="published",
                    showlegend=not traces,
                    hovertemplate="published: %{y:.1f} at %{x:,.4g}",
                    **axis_names(number),
                )
            )
    return traces


def _table(board: Board, metric: str, costs: Sequence[str]) -> Table:
    columns = [board.columns[m] for m in (metric, *costs)]
    rows = [
        (name, *(_cell(board.of(name, column.metric), column) for column in columns))
        for name in board.detectors
    ]
    return Table(("detector", *(_title(column) for column in columns)), tuple(rows))


def _cell(measured: Measured, column: Column) -> str:
    shown = column.show(measured.value)
    if math.isnan(measured.low):
        return shown
    return f"{shown} ({column.show(measured.low)} to {column.show(measured.high)})"
