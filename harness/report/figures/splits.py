"""What the parts of a detector cost, and the stages of its work."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from harness.report.cells import TITLES
from harness.report.figures.drawing import (
    PATTERNS,
    Panel,
    axis_names,
    lay_out,
    plain,
    rounded,
)
from harness.report.figures.figure import Figure, Table
from harness.report.figures.numbers import show
from harness.report.palette import COLORS
from harness.report.sections.measured import make_board
from harness.results.run import Run

Shares = Mapping[str, Mapping[str, float]]  # detector -> part -> value
COST_METRICS = ("macs_paper", "parameters")
KINDS = ("network", "postprocessed", "end_to_end")
PARTS = ("network", "postprocessing", "preprocessing")


def cost_by_role(run: Run) -> Figure | None:
    """Multiply-adds and parameters of each part, by role."""
    shares = {metric: _roles(run, metric) for metric in COST_METRICS}
    shares = {metric: found for metric, found in shares.items() if found}
    if not shares:
        return None
    units = {metric: _unit(run, metric) for metric in shares}
    note = (
        "Length: what a part adds, mean over seeds. Detectors that come whole tell fewer parts "
        "apart. Multiply-adds are counted once each, by the TinyDet paper's counter."
    )
    titles = {metric: f"{TITLES[metric]} ({units[metric]})" for metric in shares}
    return _stack("cost-role", "Cost by part", note, {titles[m]: s for m, s in shares.items()})


def latency_by_stage(run: Run) -> Figure | None:
    """Median latency, split by differences of medians."""
    board = make_board(run, tuple(f"latency_{kind}_p50" for kind in KINDS))
    shares: dict[str, dict[str, float]] = {}
    for name in run.detectors:
        found = [board.of(name, f"latency_{kind}_p50") for kind in KINDS]
        if all(measured.is_there for measured in found):
            network, with_boxes, whole = (measured.value for measured in found)
            times = (network, with_boxes - network, whole - with_boxes)
            shares[name] = dict(zip(PARTS, times, strict=True))
    if not shares:
        return None
    note = (
        "Medians, mean over seeds. The network is timed by itself; postprocessing (NMS, scaling "
        "back) and preprocessing (resize, normalise) are differences of medians, which need not "
        "add up exactly, and may fall below zero by noise."
    )
    title = "Latency by stage"
    return _stack("latency-stage", title, note, {"median latency (ms)": shares})


def _roles(run: Run, metric: str) -> dict[str, dict[str, float]]:
    frame = run.frame
    rows = frame[(frame["metric"] == metric) & frame["scope"].str.startswith("role/")]
    means = rows.groupby(["detector", "scope"], sort=False)["value"].mean()
    found: dict[str, dict[str, float]] = {}
    # NaN where a counter could not tell
    for row in means.dropna().reset_index().to_dict("records"):
        role = str(row["scope"]).removeprefix("role/")
        found.setdefault(str(row["detector"]), {})[role] = float(row["value"])
    return {name: found[name] for name in run.detectors if name in found}


def _unit(run: Run, metric: str) -> str:
    return str(run.frame.loc[run.frame["metric"] == metric, "unit"].iloc[0])


def _stack(name: str, title: str, note: str, panels: Mapping[str, Shares]) -> Figure:
    parts = list(dict.fromkeys(p for s in panels.values() for d in s.values() for p in d))
    parts = [p for p in parts if any(d.get(p) for s in panels.values() for d in s.values())]
    traces = [
        _bar(part, place, shares, number)
        for number, shares in enumerate(panels.values())
        for place, part in enumerate(parts)
    ]
    most = max(map(len, panels.values()))
    axes = [
        Panel(
            {"title": {"text": label}, "nticks": 6},
            {"autorange": "reversed", "type": "category"},
            number,
        )
        for number, label in enumerate(panels)
    ]
    height = 110 + 38 * most
    plot = lay_out(
        traces, axes, columns=len(panels), height=height, barmode="relative", bargap=0.35
    )
    return Figure(name, title, note, plot, _table(panels, parts))


def _bar(part: str, place: int, shares: Shares, number: int) -> Any:
    pattern = {"shape": PATTERNS[place % len(PATTERNS)], "fillmode": "overlay", "size": 7}
    return go.Bar(
        x=[rounded(found[part]) if part in found else None for found in shares.values()],
        y=[plain(name) for name in shares],
        orientation="h",
        name=plain(part.replace("_", " ")),
        legendgroup=part,
        showlegend=number == 0,
        marker={"color": COLORS[place % len(COLORS)], "pattern": pattern},
        hovertemplate="%{x:,.4g}",
        **axis_names(number),
    )


def _table(panels: Mapping[str, Shares], parts: Sequence[str]) -> Table:
    rows = [
        (
            name,
            title,
            *(show(found[p], 2) if p in found else "–" for p in parts),
            show(sum(found.values()), 2),
        )
        for title, shares in panels.items()
        for name, found in shares.items()
    ]
    heads = (part.replace("_", " ") for part in parts)
    return Table(("detector", "of", *heads, "sum"), tuple(rows))
