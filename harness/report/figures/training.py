"""How training went."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from harness.report.figures.drawing import (
    Panel,
    axis_names,
    lay_out,
    lined,
    named,
    plain,
    rounded,
    thinned,
)
from harness.report.figures.figure import Figure, Table
from harness.report.figures.numbers import show
from harness.report.palette import COLORS, DASHES, marks
from harness.results.run import Run

NOT_LOSSES = ("step", "epoch", "lr", "grad_norm", "images_per_second", "wait_share")
Line = Mapping[str, Any]
Logs = Mapping[tuple[str, int], Sequence[Line]]


def training_curves(run: Run) -> Figure | None:
    """Sum of the loss terms and learning rate over steps, one line per seed."""
    logs = {place: lines for place, lines in run.training.items() if lines}
    logs = {place: logs[place] for name in run.detectors for place in sorted(logs)
            if place[0] == name}  # fmt: skip
    if not logs:
        return None
    style, traces = marks(run.detectors), []
    first = {name: min(seed for n, seed in logs if n == name) for name, _ in logs}
    for (name, seed), lines in logs.items():
        chosen = thinned(lines)
        is_first = seed == first[name]
        line = lined(style[name], 2 if is_first else 1)
        for number, values in enumerate((list(map(total_loss, chosen)), _column(chosen, "lr"))):
            names = {**named(name, number), "showlegend": is_first and number == 0}
            traces.append(_trace(chosen, values, line, names, f"seed {seed}"))
    panels = [
        Panel(_steps(), {"title": {"text": "sum of losses"}, "rangemode": "tozero"}, 0),
        Panel(_steps(), {"title": {"text": "learning rate"}, "rangemode": "tozero"}, 1),
    ]
    note = (
        "Over optimiser steps; thick: the first seed, thin: the others. Losses of different "
        "detectors are sums of different terms: compare the shapes, not the heights."
    )
    plot = lay_out(traces, panels, columns=2, height=320)
    table = _table(logs)
    return Figure("training", "Training", note, plot, table)


def loss_terms(run: Run) -> Figure | None:
    """Each loss term of each detector, first seed."""
    logs: dict[str, Sequence[Line]] = {}
    for name, seed in sorted(run.training, key=lambda place: place[1]):
        if run.training[name, seed]:
            logs.setdefault(name, run.training[name, seed])
    shown = [name for name in run.detectors if name in logs]
    terms = list(dict.fromkeys(t for name in shown for line in logs[name] for t in _terms(line)))
    if not terms:
        return None
    seen: set[str] = set()
    traces: list[Any] = []
    for number, name in enumerate(shown):
        chosen = thinned(logs[name], 150)
        for term in dict.fromkeys(t for line in chosen for t in _terms(line)):
            place = terms.index(term)
            color = COLORS[place % len(COLORS)]
            line = {"color": color, "dash": DASHES[(place + place // 6) % 6], "width": 1.5}
            names = {
                "name": plain(term),
                "legendgroup": term,
                "showlegend": term not in seen,
                **axis_names(number),
            }
            seen.add(term)
            traces.append(_trace(chosen, _column(chosen, term), line, names, term))
    panels = [
        Panel(_steps(f"step, {plain(name)}"), {"rangemode": "tozero"}, number)
        for number, name in enumerate(shown)
    ]
    rows = tuple(
        (name, term, show(_column(logs[name], term)[0], 4), show(_column(logs[name], term)[-1], 4))
        for name in shown
        for term in dict.fromkeys(t for line in logs[name] for t in _terms(line))
    )
    table = Table(("detector", "term", "first logged", "last logged"), rows)
    plot = lay_out(traces, panels, columns=min(3, len(shown)), height=260)
    note = "Every term of the loss over optimiser steps, of each detector's first seed."
    return Figure("loss-terms", "Loss terms", note, plot, table)


def total_loss(line: Line) -> float:
    """Sum of the terms of one line of a training log."""
    return sum(_terms(line).values())


def _terms(line: Line) -> dict[str, float]:
    return {
        key: float(value)
        for key, value in line.items()
        if key not in NOT_LOSSES and isinstance(value, int | float)
    }


def _column(lines: Sequence[Line], key: str) -> list[float]:
    return [float(line.get(key, float("nan"))) for line in lines]


def _steps(title: str = "step") -> dict[str, Any]:
    return {"title": {"text": title}, "nticks": 6, "rangemode": "tozero"}


def _trace(
    lines: Sequence[Line], values: Sequence[float], line: Any, names: Mapping[str, Any], who: str
) -> Any:
    return go.Scatter(
        x=[entry["step"] for entry in lines],
        y=[rounded(value) for value in values],
        mode="lines",
        line=line,
        hovertemplate=f"{plain(who)}: %{{y:.4g}} at step %{{x}}",
        **names,
    )


def _table(logs: Logs) -> Table:
    rows = tuple(
        (
            name,
            str(seed),
            str(lines[-1]["step"]),
            show(total_loss(lines[0]), 4),
            show(total_loss(lines[-1]), 4),
            f"{lines[-1].get('lr', float('nan')):.3g}",
        )
        for (name, seed), lines in logs.items()
    )
    heads = ("detector", "seed", "steps", "first loss", "last loss", "last learning rate")
    return Table(heads, rows)
