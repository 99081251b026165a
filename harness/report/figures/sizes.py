"""AP over the size of objects."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import pandas as pd
import plotly.graph_objects as go

from harness.report import figure
from harness.report.format import NBSP, number
from harness.results.ap.paired import over_seeds
from harness.results.ap.types import CellAnalysis, Frame, Sampled, SizeBin
from harness.results.run import Run

FRAMES: Mapping[Frame, str] = {"original": "image", "network": "network’s input"}
ROWS = (0.72, 0.28)  # AP, objects
NOTE = (
    "Each point is the AP of the objects whose √area lies between two ticks{seeds}; the band is "
    "its 95 % interval over images. Below: how many objects there are. A detector with a larger "
    "input sees the same objects larger, on the right. Bins without objects have no AP."
)
Curves = Mapping[str, Sequence[SizeBin]]  # detector -> bins


def build(run: Run) -> figure.Drawing | None:
    """AP over object size in pixels of the image and of the network's input, counts below."""
    cells = figure.analysed(run)
    frames = {frame: _trim({n: _bins(found, frame) for n, found in cells.items()})
              for frame in FRAMES}  # fmt: skip
    frames = {frame: curves for frame, curves in frames.items() if curves}
    if not frames:
        return None
    plot = figure.panels(len(frames), height=450, rows=ROWS, alike=True)
    style = figure.styles(run.detectors)
    for n, (frame, curves) in enumerate(frames.items()):
        for name, bins in curves.items():
            for trace in _curve(name, bins, style[name], legend=n == 0):
                plot.add_trace(trace, **figure.place(plot, n))
        for trace in _counts(curves, style, same=frame == "original"):
            plot.add_trace(trace, **figure.place(plot, n, 1))
        first = next(iter(curves.values()))
        edges = [f"{b.low:g}" for b in first] + [_high(first[-1])]
        ticks = {"tickmode": "array", "tickvals": [i - 0.5 for i in range(len(edges))],
                 "ticktext": edges, "range": [-0.6, len(edges) - 1.4]}  # fmt: skip
        for part in range(len(ROWS)):
            plot.update_xaxes(**ticks, tickfont_size=10, **figure.place(plot, n, part))
        title = f"√area in the {FRAMES[frame]} (pixels)"
        plot.update_xaxes(title_text=title, **figure.place(plot, n, 1))
    plot.update_yaxes(title_text="AP (%)", rangemode="tozero", row=1, col=1)
    plot.update_yaxes(title_text="objects", nticks=4, row=2, col=1)
    plot.update_layout(barmode="group", bargap=0.15)
    return figure.Drawing(
        plot, NOTE.format(seeds=figure.if_seeds(run, ", mean over seeds")), _table(frames)
    )


def _bins(cells: Sequence[CellAnalysis], frame: Frame) -> list[SizeBin]:
    """Of one detector over its seeds, empty where the frame is not known."""
    found = [cell.curves[frame] for cell in cells if cell.curves.get(frame)]
    return [
        SizeBin(b[0].low, b[0].high, over_seeds([s.ap for s in b]), over_seeds([s.ap50 for s in b]))
        for b in zip(*found, strict=True)
    ]


def _trim(curves: Curves) -> Curves:
    """Without the bins at the far end in which no detector has an object."""
    there = {name: bins for name, bins in curves.items() if bins}
    filled = [i for bins in there.values() for i, b in enumerate(bins) if b.ap.count]
    return {name: bins[: max(filled, default=0) + 1] for name, bins in there.items()}


def _curve(
    name: str, bins: Sequence[SizeBin], style: figure.Style, *, legend: bool
) -> Iterator[go.Scatter]:
    for stretch in _stretches(bins):
        outline = [bins[i].ap.high for i in stretch] + [bins[i].ap.low for i in stretch[::-1]]
        yield go.Scatter(
            x=stretch + stretch[::-1],
            y=figure.percents(outline),
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=style.color,
            opacity=0.14,
            hoverinfo="skip",
            **figure.named(name, legend=False),
        )
    yield go.Scatter(
        x=list(range(len(bins))),
        y=figure.percents([b.ap.value for b in bins]),
        mode="lines+markers",
        line=style.line(),
        marker={"symbol": style.symbol, "size": 8},
        hovertemplate="%{y:.1f} %",
        **figure.named(name, legend=legend),
    )


def _stretches(bins: Sequence[SizeBin]) -> list[list[int]]:
    """Places beside one another that have an interval: a band each."""
    stretches = groupby(range(len(bins)), key=lambda i: math.isnan(bins[i].ap.low))
    return [list(places) for unknown, places in stretches if not unknown]


def _counts(curves: Curves, style: Mapping[str, figure.Style], *, same: bool) -> Iterator[go.Bar]:
    """In the image every detector has the same objects; in its network each has its own."""
    for name, bins in list(curves.items())[: 1 if same else None]:
        yield go.Bar(
            x=list(range(len(bins))),
            y=[b.ap.count for b in bins],
            marker={"color": figure.NEUTRAL} if same else style[name].fill(),
            hovertemplate="%{y} objects",
            **(figure.named("objects") if same else figure.named(name)) | {"showlegend": False},
        )


def _high(last: SizeBin) -> str:
    return f"{last.high:g}" if math.isfinite(last.high) else "∞"


def _shown(found: Sampled) -> str:
    low, value, high = (number(100 * v) for v in (found.low, found.value, found.high))
    return value if math.isnan(found.low) else f"{value} [{low},{NBSP}{high}]"


def _table(frames: Mapping[Frame, Curves]) -> pd.DataFrame:
    rows = [
        [FRAMES[frame], name, f"{b.low:g} to {_high(b)}", _shown(b.ap), _shown(b.ap50),
         str(b.ap.count)]
        for frame, curves in frames.items()
        for name, bins in curves.items()
        for b in bins
    ]  # fmt: skip
    heads = ["pixels of", "detector", "√area", "AP (%)", "AP50 (%)", "objects"]
    return pd.DataFrame(rows, columns=heads)
