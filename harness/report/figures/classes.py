"""AP of each class."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from harness.report.figures.drawing import Panel, hundredths, lay_out, named, plain
from harness.report.figures.figure import Figure, Table
from harness.report.figures.numbers import analysed, mean, over_seeds, show_ap
from harness.report.palette import Mark, marks
from harness.results.ap.types import Estimate
from harness.results.run import Run

MOST = 24  # classes drawn
Scores = Mapping[str, Mapping[str, Estimate]]  # detector -> class -> AP


def class_scores(run: Run) -> Figure | None:
    """AP by class with intervals, the best class on top."""
    scores = {
        name: {
            key: over_seeds([cell.classes[key] for cell in cells if key in cell.classes])
            for key in cells[0].classes
        }
        for name, cells in analysed(run).items()
    }
    ordered = _sort(scores)
    if not ordered:
        return None
    shown = ordered if len(ordered) <= MOST else ordered[: MOST // 2] + ordered[-MOST // 2 :]
    style = marks(run.detectors)
    traces = [
        _trace(name, shown, scores[name], style[name], _offset(i, len(scores)))
        for i, name in enumerate(scores)
    ]
    y = {
        "tickmode": "array",
        "tickvals": list(range(len(shown))),
        "ticktext": [plain(_short(key)) for key in shown],
        "range": [len(shown) - 0.4, -0.6],
    }
    height = 90 + len(shown) * (18 + 9 * len(scores))
    x = {"title": {"text": "AP"}, "rangemode": "tozero"}
    plot = lay_out(traces, [Panel(x, y, 0)], columns=1, height=height)
    return Figure("ap-class", "AP by class", _note(ordered, shown), plot, _table(ordered, scores))


def _note(ordered: Sequence[str], shown: Sequence[str]) -> str:
    note = "Classes by their mean AP. Bars are 95 % intervals over images, averaged over seeds."
    if len(shown) < len(ordered):
        half = len(shown) // 2
        note += f" Drawn are the best {half} and the worst {half} of {len(ordered)}; all are below."
    return note


def _sort(scores: Scores) -> list[str]:
    """Classes that have an AP, by the mean over detectors, ties by name."""
    keys = dict.fromkeys(key for found in scores.values() for key in found)
    means = {key: mean([found[key].value for found in scores.values() if key in found])
             for key in keys}  # fmt: skip
    return sorted((key for key in keys if means[key] == means[key]), key=lambda k: (-means[k], k))


def _offset(place: int, count: int) -> float:
    """Detectors stand above one another within a class."""
    return 0.0 if count == 1 else 0.6 * (place / (count - 1) - 0.5)


def _short(name: str) -> str:
    return name if len(name) <= 22 else name[:21] + "…"


def _trace(
    name: str, shown: Sequence[str], found: Mapping[str, Estimate], mark: Mark, offset: float
) -> Any:
    there = [(i, found[key]) for i, key in enumerate(shown) if key in found]
    return go.Scatter(
        x=hundredths([e.value for _, e in there]),
        y=[round(i + offset, 3) for i, _ in there],
        mode="markers",
        marker={"color": mark.color, "symbol": mark.symbol, "size": 9},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": hundredths([e.high - e.value for _, e in there]),
            "arrayminus": hundredths([e.value - e.low for _, e in there]),
            "color": mark.color,
            "thickness": 1.5,
            "width": 3,
        },
        customdata=[plain(shown[i]) for i, _ in there],
        hovertemplate="%{customdata}: %{x:.1f}",
        **named(name, 0),
    )


def _table(ordered: Sequence[str], scores: Scores) -> Table:
    nothing = Estimate(float("nan"), float("nan"), float("nan"), 0, 0)
    rows = []
    for key in ordered:
        found = [scores[name].get(key, nothing) for name in scores]
        rows.append((key, str(max(e.count for e in found)), *map(show_ap, found)))
    return Table(("class", "objects", *scores), tuple(rows))
