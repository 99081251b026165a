"""How training went."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from harness.plugin.metrics import MetricSpec
from harness.report import figure
from harness.report.format import amount, heading, number
from harness.results.run import Run

NOT_LOSSES = ("step", "epoch", "lr", "grad_norm", "images_per_second", "wait_share")
STEPS = {"nticks": 6, "rangemode": "tozero"}
Line = Mapping[str, Any]
Lines = Sequence[Line]
Score = tuple[int, float]  # at a step


def build(run: Run) -> figure.Drawing | None:
    """Sum of the loss terms, learning rate and score on the way, one line per seed."""
    logs = _logs(run)
    if not logs:
        return None
    score, evaluated = _validation(run)
    plot = figure.panels(3 if score else 2, height=320)
    style = figure.styles(run.detectors)
    for name, seeds in logs.items():
        for place_, (seed, lines) in enumerate(seeds.items()):
            chosen, line = figure.thinned(lines), style[name].line(1 if place_ else 2)
            for n, values in enumerate((list(map(total_loss, chosen)), _column(chosen, "lr"))):
                names = figure.named(name, legend=not place_ and not n)
                trace = _trace(chosen, values, line, f"seed {seed}")
                plot.add_trace(trace.update(names), **figure.place(plot, n))
            if score is not None and evaluated[name, seed]:
                steps, found = zip(*evaluated[name, seed], strict=True)
                curve = go.Scatter(
                    x=steps,
                    y=[figure.rounded(value * score.scale) for value in found],
                    mode="lines+markers",
                    line=line,
                    hovertemplate=f"seed {seed}: {figure.hover('y', score)} at step %{{x}}",
                )
                names = figure.named(name, legend=False)
                plot.add_trace(curve.update(names), **figure.place(plot, 2))
    plot.update_xaxes(title_text="step", **STEPS)
    plot.update_yaxes(rangemode="tozero")
    for n, title in enumerate(("sum of losses", "learning rate")):
        plot.update_yaxes(title_text=title, **figure.place(plot, n))
    if score is not None:
        plot.update_yaxes(
            title_text=figure.plain(f"{heading(score)}, validation"), **figure.place(plot, 2)
        )
    lines_of = figure.if_seeds(run, "; thick: the first seed, thin: the others")
    note = (
        f"Over optimiser steps{lines_of}. Losses of different detectors are sums of different "
        "terms: compare the shapes, not the heights."
    )
    if score is not None:
        note += (
            f" {score.title} on the way is that of train.evaluate_images images of the validation "
            "split at most: it shows the course, and the evaluation at the end the result."
        )
    rows = [
        [name, str(seed), str(lines[-1]["step"]), number(total_loss(lines[0]), 4),
         number(total_loss(lines[-1]), 4), f"{lines[-1].get('lr', math.nan):.3g}",
         *(_best(evaluated[name, seed], score) if score else ())]
        for name, seeds in logs.items()
        for seed, lines in seeds.items()
    ]  # fmt: skip
    heads = ["detector", "seed", "steps", "first loss", "last loss", "last learning rate"]
    heads += [f"last validation {heading(score)}", "best, at step"] if score else []
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
    """Detector -> seed -> lines of losses, of those that have any."""
    logs: dict[str, dict[int, Lines]] = {name: {} for name in run.detectors}
    for (name, seed), lines in sorted(run.training.items()):
        kept = [line for line in lines if "validation" not in line]
        if kept and name in logs:
            logs[name][seed] = kept
    return {name: seeds for name, seeds in logs.items() if seeds}


def _validation(run: Run) -> tuple[MetricSpec | None, dict[tuple[str, int], list[Score]]]:
    """The main score, and its (step, value) of each training; None where none was evaluated."""
    score = run.catalog.main_score
    found: dict[tuple[str, int], list[Score]] = {
        place: [
            (line["step"], line["validation"][score.name])
            for line in lines
            if score is not None and line.get("validation", {}).get(score.name) is not None
        ]
        for place, lines in run.training.items()
    }
    return (score if any(found.values()) else None), found


def _best(scores: Sequence[Score], spec: MetricSpec) -> tuple[str, str]:
    """The last, and the best with its step."""
    if not scores:
        return "", ""
    step, best = max(scores, key=lambda one: one[1])
    return amount(spec, scores[-1][1]), f"{amount(spec, best)} at {step}"


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
