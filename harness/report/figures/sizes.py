"""AP over the size of objects."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from harness.report.figures.drawing import (
    NEUTRAL,
    PATTERNS,
    Panel,
    axis_names,
    hundredths,
    lay_out,
    lined,
    named,
)
from harness.report.figures.figure import Figure, Table
from harness.report.figures.numbers import analysed, over_seeds, show_ap
from harness.report.palette import marks
from harness.results.ap.types import CellAnalysis, Estimate, Frame, SizeBin
from harness.results.run import Run

TITLES: Mapping[Frame, str] = {
    "original": "√area in the image (pixels)",
    "network": "√area at the network’s input (pixels)",
}
NOTE = (
    "Each point is the AP of the objects whose √area lies between two ticks; the band is its 95 % "
    "interval over images, averaged over seeds. Below: how many objects there are. A detector with "
    "a larger input sees the same objects larger, on the right. Bins without objects have no AP."
)


def size_curves(run: Run) -> Figure | None:
    """AP over object size in both frames, with counts below."""
    cells = analysed(run)
    frames = [f for f in TITLES if any(_bins(found, f) for found in cells.values())]
    if not frames:
        return None
    traces: list[Any] = []
    panels: list[Panel] = []
    rows: list[tuple[str, ...]] = []
    for cell, frame in enumerate(frames):
        curves = {name: bins for name, found in cells.items() if (bins := _bins(found, frame))}
        curves, edges = _trim(curves)
        traces += _trace(curves, 2 * cell, run.detectors, once=frame == "original")
        panels += _panels(edges, TITLES[frame], cell)
        rows += _rows(curves, frame)
    plot = lay_out(traces, panels, columns=len(frames), height=430, barmode="group", bargap=0.15)
    table = Table(("pixels of", "detector", "√area", "AP", "AP50", "objects"), tuple(rows))
    return Figure("ap-size", "AP over object size", NOTE, plot, table)


def _bins(cells: Sequence[CellAnalysis], frame: Frame) -> list[SizeBin]:
    """Means over seeds, empty where the frame is not known."""
    found = [cell.curves[frame] for cell in cells if cell.curves.get(frame)]
    return [
        SizeBin(
            same[0].low,
            same[0].high,
            over_seeds([b.ap for b in same]),
            over_seeds([b.ap50 for b in same]),
        )
        for same in zip(*found, strict=True)
    ]


def _trim(curves: Mapping[str, list[SizeBin]]) -> tuple[dict[str, list[SizeBin]], list[float]]:
    """Without the bins at the far end in which no detector has an object; and the edges."""
    last = max((i for bins in curves.values() for i, b in enumerate(bins) if b.ap.count), default=0)
    cut = {name: bins[: last + 1] for name, bins in curves.items()}
    first = next(iter(cut.values()))
    return cut, [b.low for b in first] + [first[-1].high]


def _panels(edges: Sequence[float], title: str, cell: int) -> list[Panel]:
    ticks = {
        "tickmode": "array",
        "tickvals": [i - 0.5 for i in range(len(edges))],
        "ticktext": [f"{edge:g}" if math.isfinite(edge) else "∞" for edge in edges],
        "range": [-0.6, len(edges) - 1.4],
        "tickfont": {"size": 10},
    }
    ap, count = ({"title": {"text": text}} for text in ("AP", "objects"))
    return [
        Panel({**ticks, "showticklabels": False}, {**ap, "rangemode": "tozero"}, cell, (0.3, 1.0)),
        Panel({**ticks, "title": {"text": title}}, {**count, "nticks": 4}, cell, (0.0, 0.22)),
    ]


def _trace(
    curves: Mapping[str, list[SizeBin]], number: int, detectors: Sequence[str], once: bool
) -> Iterator[Any]:
    style = marks(detectors)
    for place, (name, bins) in enumerate(curves.items()):
        mark, middle = style[name], list(range(len(bins)))
        estimates = [b.ap for b in bins]
        yield from _bands(estimates, mark.color, named(name, number))
        yield go.Scatter(
            x=middle,
            y=hundredths([e.value for e in estimates]),
            mode="lines+markers",
            line=lined(mark),
            marker={"symbol": mark.symbol, "size": 8},
            hovertemplate="%{y:.1f}",
            **named(name, number),
        )
        if once and place:
            continue
        # in the image every detector has the same objects; in its network each has its own
        color = NEUTRAL if once else mark.color
        yield go.Bar(
            x=middle,
            y=[e.count for e in estimates],
            marker={
                "color": color,
                "pattern": {
                    "shape": "" if once else _pattern(name, style),
                    "fillmode": "overlay",
                    "size": 5,
                },
            },
            hovertemplate="%{y} objects",
            **{**named(name, number), "showlegend": False, **axis_names(number + 1)},
        )


def _pattern(name: str, style: Mapping[str, Any]) -> str:
    return PATTERNS[list(style).index(name) % len(PATTERNS)]


def _bands(estimates: Sequence[Estimate], color: str, names: Mapping[str, Any]) -> Iterator[Any]:
    """One closed shape for each stretch of bins that have an interval."""
    stretch: list[int] = []
    for i in range(len(estimates) + 1):
        if i < len(estimates) and not math.isnan(estimates[i].low + estimates[i].high):
            stretch.append(i)
            continue
        if stretch:
            there = [estimates[k] for k in stretch]
            outline = [e.high for e in there] + [e.low for e in reversed(there)]
            yield go.Scatter(
                x=stretch + stretch[::-1],
                y=hundredths(outline),
                mode="lines",
                line={"width": 0},
                fill="toself",
                fillcolor=color,
                opacity=0.14,
                hoverinfo="skip",
                **{**names, "showlegend": False},
            )
        stretch = []


def _rows(curves: Mapping[str, list[SizeBin]], frame: Frame) -> Iterator[tuple[str, ...]]:
    where = {"original": "image", "network": "network"}[frame]
    for name, bins in curves.items():
        for b in bins:
            high = f"{b.high:g}" if math.isfinite(b.high) else "∞"
            numbers = (show_ap(b.ap), show_ap(b.ap50), str(b.ap.count))
            yield where, name, f"{b.low:g} to {high}", *numbers
