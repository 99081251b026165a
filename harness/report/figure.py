"""What a figure of the page is, and what all of them share."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from harness.plugin.metrics import MetricSpec
from harness.report.format import amount, interval
from harness.results.ap.types import CellAnalysis
from harness.results.estimate import Estimate
from harness.results.run import Run

GAP_PX = 66  # between rows of panels, for ticks and the title of an axis
LEGEND_PX = 34
NEUTRAL = "#7d8590"  # stands out from light and from dark paper
# M. Okabe and K. Ito, Color Universal Design (https://jfly.uni-koeln.de/color)
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
PATTERNS = ("", "/", "x", ".", "\\", "-", "+", "|")
MOST_TICKS = 9
# The look of every figure; colours of text and paper follow the page's theme (figures.js).
AXIS = {"automargin": True, "zeroline": False, "showline": True, "separatethousands": True}
TEMPLATE = go.layout.Template(
    layout={
        "margin": {"l": 10, "r": 10, "t": LEGEND_PX, "b": 10},
        "legend": {
            "orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yref": "container",
            "yanchor": "top",
        },
        "xaxis": AXIS,
        "yaxis": AXIS,
        "font": {"size": 12},
    }
)  # fmt: skip


@dataclass(frozen=True)
class Drawing:
    """A figure as its maker hands it over.

    Attributes:
        plot: plotly's figure; of `panels` it has panels that stand below one another on a phone.
        note: one or two sentences: how to read it, what bars and bands are.
        table: the numbers for those who cannot see it, every cell as it is shown.
        title: in place of the declaration's, where one maker draws several.
    """

    plot: go.Figure
    note: str = ""
    table: pd.DataFrame | None = None
    title: str = ""


@dataclass(frozen=True)
class Style:
    """How a detector, or a part of one, is drawn: never by its colour alone."""

    color: str
    symbol: str
    dash: str
    pattern: str

    def line(self, width: float = 2) -> dict[str, Any]:
        return {"color": self.color, "dash": self.dash, "width": width}

    def fill(self) -> dict[str, Any]:
        """Of a bar."""
        pattern = {"shape": self.pattern, "fillmode": "overlay", "size": 6}
        return {"color": self.color, "pattern": pattern}

    def bars(self, found: Sequence[Estimate]) -> dict[str, Any] | None:
        """Intervals of points, None where there are none."""
        if not any(one.has_interval for one in found):
            return None
        ends = [[one.metric.scale * n for n in (one.low, one.value, one.high)] for one in found]
        return {
            "type": "data",
            "symmetric": False,
            "array": [rounded(max(0.0, high - value)) for _, value, high in ends],
            "arrayminus": [rounded(max(0.0, value - low)) for low, value, _ in ends],
            "color": self.color,
            "thickness": 1.5,
            "width": 4,
        }


def styles(names: Sequence[str]) -> dict[str, Style]:
    """Of each detector, by its place in the suite."""
    return {
        name: Style(
            COLORS[i % len(COLORS)],
            SYMBOLS[(i + i // len(COLORS)) % len(SYMBOLS)],
            DASHES[(i + i // len(COLORS)) % len(DASHES)],
            PATTERNS[i % len(PATTERNS)],
        )
        for i, name in enumerate(names)
    }


def panels(
    count: int, *, height: int, most: int = 3, rows: Sequence[float] = (1.0,), alike: bool = False
) -> go.Figure:
    """Plotly's subplots: `count` panels side by side, which a narrow page stacks; see `place`.

    Args:
        height: of a panel in pixels.
        most: beside each other where the page is wide.
        rows: shares of the height of axes above one another within each panel.
        alike: panels beside one another share their upward axis.
    """
    columns = math.ceil(count / math.ceil(count / most))
    wide = _subplots(count, columns, height, rows, alike)
    narrow = wide if columns == 1 else _subplots(count, 1, height, rows, False)
    stacked = {}
    for number in range(count):
        for part in range(len(rows)):
            here = wide.get_subplot(*_cell(number, part, columns, len(rows)))
            there = narrow.get_subplot(*_cell(number, part, 1, len(rows)))
            for own, other in zip(here, there, strict=True):
                stacked[own.plotly_name] = {"domain": list(other.domain)}
    own = {"columns": columns, "parts": len(rows)}
    return wide.update_layout(meta={**own, "narrow": {**stacked, "height": narrow.layout.height}})


def place(figure: go.Figure, number: int, part: int = 0) -> dict[str, int]:
    """Row and column, as plotly's `add_trace` and `update_xaxes` take them.

    Args:
        figure: of `panels`.
        number: of the panel, from 0.
        part: of its axes above one another, from the top.
    """
    row, column = _cell(number, part, figure.layout.meta["columns"], figure.layout.meta["parts"])
    return {"row": row, "col": column}


def _cell(number: int, part: int, columns: int, parts: int) -> tuple[int, int]:
    return number // columns * parts + part + 1, number % columns + 1


def _subplots(
    count: int, columns: int, height: int, rows: Sequence[float], alike: bool
) -> go.Figure:
    lines = math.ceil(count / columns)
    total = lines * height + LEGEND_PX
    axes = lines * len(rows)
    there = [[i * columns + k < count for k in range(columns)] for i in range(lines)]
    return make_subplots(
        rows=axes,
        cols=columns,
        specs=[[{} if yes else None for yes in line] for line in there for _ in rows],
        shared_yaxes=alike,
        row_heights=list(rows) * lines,
        horizontal_spacing=(0.12 if alike else 0.25) / columns,
        vertical_spacing=min(GAP_PX / total, 0.9 / max(1, axes - 1)),
    ).update_layout(height=total, template=TEMPLATE)


def named(name: str, group: str = "", *, legend: bool = True) -> dict[str, Any]:
    """A trace's name and its group in the legend, which shows one of each group."""
    return {"name": plain(name), "legendgroup": group or name, "showlegend": legend}


def plain(text: str) -> str:
    """Text that plotly shows as it is written, though it reads a little HTML."""
    return escape(text, quote=False)


def hover(axis: str, spec: MetricSpec) -> str:
    """ "%{x:,.1f} ms", for plotly to fill in a shown value."""
    return f"%{{{axis}:,.{spec.digits}f}} {plain(spec.shown_unit)}".rstrip()


def shown(estimate: Estimate) -> str:
    """ "30.2 [28.0, 32.0]", without a unit."""
    return f"{amount(estimate.metric, estimate.value)} {interval(estimate)}".rstrip()


def drawn(spec: MetricSpec, value: float) -> float:
    """A recorded value as it is shown."""
    return rounded(spec.scale * value)


def rounded(value: float) -> float:
    """A number of four significant digits; the file stays small."""
    if not math.isfinite(value) or value == 0:
        return value
    return round(value, 4 - math.ceil(math.log10(abs(value))))


def percents(values: Sequence[float]) -> list[float]:
    """Scores from 0 to 1 as they are drawn."""
    return [rounded(100 * value) for value in values]


def log_axis(values: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis where the values need one, ticked at 1, 2 and 5; else one from zero.

    Plotly's own ticks crowd a narrow panel, and leave out the zeros of 2 and 5.
    """
    there = [value for value in values if math.isfinite(value)]
    if not there or min(there) <= 0 or max(there) / min(there) <= 8:
        return {"rangemode": "tozero", "nticks": 8}
    low, high = min(there) / 2, max(there) * 2
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    near = [step for e in exponents for m in (1, 2, 5) if low <= (step := m * 10.0**e) <= high]
    if len(near) > MOST_TICKS:
        near = near[:: math.ceil(len(near) / MOST_TICKS)]
    ticks = {"tickmode": "array", "tickvals": near, "ticktext": [f"{s:,g}" for s in near]}
    return {"type": "log", **ticks}


def thinned(values: Sequence[Any], most: int = 300) -> list[Any]:
    """At most so many of them, evenly chosen, the first and the last among them."""
    count = len(values)
    if count <= most:
        return list(values)
    return [values[round(i * (count - 1) / (most - 1))] for i in range(most)]


def analysed(run: Run) -> dict[str, list[CellAnalysis]]:
    """Detector -> its analyses, one per seed, of those that have any."""
    found = {name: run.analyses_of(name) for name in run.detectors}
    return {name: cells for name, cells in found.items() if cells}


def if_seeds(run: Run, words: str) -> str:
    """Words that a run of a single seed does not need."""
    return words if len({record.seed for record in run.measured}) > 1 else ""


def to_json(figure: go.Figure) -> Mapping[str, Any]:
    """Plotly's data and layout, without the template that all figures share; NaN is null."""
    plot: dict[str, Any] = json.loads(figure.to_json(engine="json"))
    plot["layout"].pop("template", None)
    return plot
