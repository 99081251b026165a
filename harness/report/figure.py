"""What a figure of the page is, and what all of them share."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

GAP_PX = 70  # between rows of panels, for ticks and the title of an axis
NEUTRAL = "#7d8590"  # stands out from light and from dark paper
# M. Okabe and K. Ito, Color Universal Design (https://jfly.uni-koeln.de/color)
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
PATTERNS = ("", "/", "x", ".", "\\", "-", "+", "|")
MOST_TICKS = 9
# The look of every figure; colours of text and paper follow the page's theme (figures.js).
TEMPLATE = go.layout.Template(
    layout={
        "margin": {"l": 10, "r": 10, "t": 34, "b": 10},
        "legend": {
            "orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yref": "container",
            "yanchor": "top",
        },
        "xaxis": {"automargin": True, "zeroline": False, "showline": True},
        "yaxis": {"automargin": True, "zeroline": False, "showline": True},
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
    """

    plot: go.Figure
    note: str = ""
    table: pd.DataFrame | None = None


@dataclass(frozen=True)
class Style:
    """How a detector is drawn, the same in every figure."""

    color: str
    symbol: str
    dash: str
    pattern: str

    def line(self, width: float = 2) -> dict[str, Any]:
        return {"color": self.color, "dash": self.dash, "width": width}


def styles(detectors: Sequence[str]) -> dict[str, Style]:
    """Of each detector, by its place in the suite."""
    return {
        name: Style(
            COLORS[i % len(COLORS)],
            SYMBOLS[(i + i // len(COLORS)) % len(SYMBOLS)],
            DASHES[(i + i // len(COLORS)) % len(DASHES)],
            PATTERNS[i % len(PATTERNS)],
        )
        for i, name in enumerate(detectors)
    }


def panels(
    count: int, *, height: int, columns: int | None = None, rows: Sequence[float] = (1.0,)
) -> go.Figure:
    """Plotly's subplots: `count` panels side by side, which a narrow page stacks.

    Args:
        height: of a panel in pixels.
        columns: beside each other where the page is wide; all of them by default.
        rows: shares of the height of axes above one another within each panel. Axis k of panel n
            is at row `(n // columns) * len(rows) + k + 1`, column `n % columns + 1`.
    """
    columns = count if columns is None else min(columns, count)
    wide, narrow = (_subplots(count, width, height, rows) for width in (columns, 1))
    axes = {
        key: {"domain": list(axis["domain"])}
        for key, axis in narrow.to_plotly_json()["layout"].items()
        if key.startswith(("xaxis", "yaxis"))
    }
    # axes are numbered row by row: those of the stacked layout in the order of the wide one
    order = _order(count, columns, len(rows))
    suffix = ["" if i == 0 else str(i + 1) for i in range(len(order))]
    stacked = {
        f"{letter}axis{suffix[at]}": axes[f"{letter}axis{suffix[place]}"]
        for at, place in enumerate(order)
        for letter in "xy"
    }
    wide.update_layout(meta={"narrow": {**stacked, "height": narrow.layout.height}})
    return wide


def _subplots(count: int, columns: int, height: int, rows: Sequence[float]) -> go.Figure:
    lines = math.ceil(count / columns)
    total = lines * height + 34
    spacing = GAP_PX / total if lines * len(rows) > 1 else 0.0
    figure = make_subplots(
        rows=lines * len(rows),
        cols=columns,
        row_heights=list(rows) * lines,
        horizontal_spacing=0.3 / columns if columns > 1 else 0.0,
        vertical_spacing=min(spacing, 0.9 / max(1, lines * len(rows) - 1)),
    )
    return figure.update_layout(height=total, template=TEMPLATE)


def _order(count: int, columns: int, parts: int) -> list[int]:
    """Of the axes of the wide layout, row by row, their places in the stacked one."""
    lines = math.ceil(count / columns)
    return [
        (line * columns + column) * parts + part
        for line in range(lines)
        for part in range(parts)
        for column in range(columns)
        if line * columns + column < count
    ]


def plain(text: str) -> str:
    """Text that plotly shows as it is written, though it reads a little HTML."""
    return escape(text, quote=False)


def rounded(value: float, digits: int = 4) -> float:
    """A number of so many significant digits; the file stays small."""
    if not math.isfinite(value) or value == 0:
        return value
    return round(value, digits - math.ceil(math.log10(abs(value))))


def log_axis(values: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis where the values need one, ticked at 1, 2 and 5; else one from zero.

    Plotly's own ticks crowd a narrow panel, and leave out the zeros of 2 and 5.
    """
    there = [value for value in values if math.isfinite(value)]
    if not there or min(there) <= 0 or max(there) / min(there) <= 8:
        return {"rangemode": "tozero"}
    low, high = min(there) / 2, max(there) * 2
    steps = [m * 10**e for e in range(-4, 9) for m in (1, 2, 5)]
    near = [step for step in steps if low <= step <= high]
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


def to_json(figure: go.Figure) -> dict[str, Any]:
    """Plotly's data and layout, without the template that all figures share."""
    plot: dict[str, Any] = clean(json.loads(figure.to_json(engine="json")))
    plot["layout"].pop("template", None)
    return plot


def clean(value: Any) -> Any:
    """NaN and infinities, which JSON does not have, as null."""
    if isinstance(value, dict):
        return {key: clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
