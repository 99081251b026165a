"""How training went."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from harness.report import figure
from harness.report.format import number
from harness.results.run import Run

NOT_LOSSES = ("step", "epoch", "lr", "grad_norm", "images_per_second", "wait_share")
STEPS = {"nticks": 6, "rangemode": "tozero"}
Line = Mapping[str, Any]
Lines = Sequence[Line]


def build(run: Run) -> figure.Drawing | None:
    """Sum of the loss terms and learning rate over steps, one line per seed."""
    logs = _logs(run)
    if not logs:
        return None
    plot, style = figure.panels(2, height=320), figure.styles(run.detectors)
    for name, seeds in logs.items():
        for place_, (seed, lines) in enumerate(seeds.items()):
            chosen, line = figure.thinned(lines), style[name].line(1 if place_ else 2)
            for n, values in enumerate((list(map(total_loss, chosen)), _column(chosen, "lr"))):
                names = figure.named(name, legend=not place_ and not n)
                trace = _trace(chosen, values, line, f"seed {seed}")
                plot.add_trace(trace.update(names), **figure.place(plot, n))
    plot.update_xaxes(title_text="step", **STEPS)
    plot.update_yaxes(rangemode="tozero")
    for n, title in enumerate(("sum of losses", "learning rate")):
        plot.update_yaxes(title_text=title, **figure.place(plot, n))
    lines_of = figure.if_seeds(run, "; thick: the first seed, thin: the others")
    note = (
        f"Over optimiser steps{lines_of}. Losses of different detectors are sums of different "
        "terms: compare the shapes, not the heights."
    )
    rows = [
        [name, str(seed), str(lines[-1]["step"]), number(total_loss(lines[0]), 4),
         number(total_loss(lines[-1]), 4), f"{lines[-1].get('lr', math.nan):.3g}"]
        for name, seeds in logs.items()
        for seed, lines in seeds.items()
    ]  # fmt: skip
    heads = ["detector", "seed", "steps", "first loss", "last loss", "last learning rate"]
    return figure.Drawing(plot, note, pd.DataFrame(rows, columns=heads))


def build_terms(run: Run) -> figure.Drawing | None:
    """Each loss term of each detector, first seed."""
    logs = {name: next(iter(seeds.values())) for name, seeds in _logs(run).items()}
    terms = {name: _names(lines) for name, lines in logs.items()}
    style = figure.styles(list(dict.fromkeys(term for found in terms.values() for term in found)))
    if not style:
        return None
    plot, told, rows = figure.panels(len(logs), height=260), set(), []
    for n, (name, lines) in enumerate(logs.items()):
        chosen = figure.thinned(lines, 150)
        for term in terms[name]:
            names = figure.named(term, legend=term not in told)
            told.add(term)
            trace = _trace(chosen, _column(chosen, term), style[term].line(1.5), term)
            plot.add_trace(trace.update(names), **figure.place(plot, n))
            logged = _column(lines, term)
            rows.append([name, term, number(logged[0], 4), number(logged[-1], 4)])
        plot.update_xaxes(
            title_text=f"step, {figure.plain(name)}", **STEPS, **figure.place(plot, n)
        )
    plot.update_yaxes(rangemode="tozero")
    heads = ["detector", "term", "first logged", "last logged"]
    note = (
        f"Every term of the loss over optimiser steps{figure.if_seeds(run, ', of the first seed')}."
    )
    return figure.Drawing(plot, note, pd.DataFrame(rows, columns=heads))


def total_loss(line: Line) -> float:
    """Sum of the terms of one line of a training log."""
    return sum(_terms(line).values())


def _logs(run: Run) -> dict[str, dict[int, Lines]]:
    """Detector -> seed -> lines, of those that have any."""
    logs: dict[str, dict[int, Lines]] = {
        name: {seed: run.training[of, seed] for of, seed in sorted(run.training)
               if of == name and run.training[of, seed]}
        for name in run.detectors
    }  # fmt: skip
    return {name: seeds for name, seeds in logs.items() if seeds}


def _terms(line: Line) -> dict[str, float]:
    numbers = {k: v for k, v in line.items() if isinstance(v, int | float)}
    return {key: float(value) for key, value in numbers.items() if key not in NOT_LOSSES}


def _names(lines: Lines) -> list[str]:
    return list(dict.fromkeys(term for line in lines for term in _terms(line)))


def _column(lines: Lines, key: str) -> list[float]:
    return [float(line.get(key, math.nan)) for line in lines]


def _trace(lines: Lines, values: Sequence[float], line: Mapping[str, Any], who: str) -> go.Scatter:
    return go.Scatter(
        x=[entry["step"] for entry in lines],
        y=[figure.rounded(value) for value in values],
        mode="lines",
        line=line,
        hovertemplate=f"{figure.plain(who)}: %{{y:.4g}} at step %{{x}}",
    )
