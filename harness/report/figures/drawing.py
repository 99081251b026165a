"""What all figures share: panels that the page lays out anew at each width, and clean JSON."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import plotly.graph_objects as go

from harness.report.palette import Mark

NEUTRAL = "#7d8590"  # tells itself from light and from dark paper
PATTERNS = ("", "/", "x", ".", "\\", "-", "+", "|")
GAP = 0.11  # between panels, as a share of the width
LINE = "0.3em"
MOST_TICKS = 9

Axis = Mapping[str, Any]
Values = Sequence[float]


@dataclass(frozen=True)
class Panel:
    """One pair of axes of a figure.

    Attributes:
        x, y: plotly's settings of the axes.
        share: from where to where the panel reaches within its cell, from the bottom.
        cell: which cell it lies in; panels of one cell stand above one another.
    """

    x: Axis
    y: Axis
    cell: int
    share: tuple[float, float] = (0.0, 1.0)


def lay_out(
    traces: Sequence[Any], panels: Sequence[Panel], *, columns: int, height: int, **layout: Any
) -> dict[str, Any]:
    """Plotly's data and layout.

    Args:
        columns: of cells where the page is wide; where it is narrow there is one.
        height: of a cell in pixels.
        layout: more of plotly's settings.
    """
    axes: dict[str, Any] = {}
    cells = max(panel.cell for panel in panels) + 1
    rows = math.ceil(cells / columns)
    for number, panel in enumerate(panels, 1):
        suffix = "" if number == 1 else str(number)
        row, column = divmod(panel.cell, columns)
        wide = (1 - GAP * (columns - 1)) / columns
        left = column * (wide + GAP)
        bottom, top = (1 - (row + 1 - part * 0.8) / rows for part in panel.share)
        settings = {"automargin": True, "zeroline": False}
        axes[f"xaxis{suffix}"] = {**settings, "domain": [left, left + wide], **panel.x}
        axes[f"yaxis{suffix}"] = {**settings, "domain": [bottom, top], **panel.y}
        axes[f"xaxis{suffix}"]["anchor"] = f"y{suffix}"
        axes[f"yaxis{suffix}"]["anchor"] = f"x{suffix}"
    cut = [{"cell": panel.cell, "share": list(panel.share)} for panel in panels]
    figure = go.Figure(list(traces)).update_layout(
        template=None,
        meta={"panels": cut, "columns": columns, "cellHeight": height},
        height=rows * height + 60,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        **axes,
        **layout,
    )
    plot: dict[str, Any] = _clean(json.loads(figure.to_json(engine="json")))
    plot["layout"].pop("template", None)
    return plot


def axis_names(number: int) -> dict[str, str]:
    """Of the panel with this number, from 0, as traces name them."""
    suffix = "" if number == 0 else str(number + 1)
    return {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}


def named(detector: str, number: int) -> dict[str, Any]:
    """A trace's name, its place in the legend and its axes; the legend shows the first panel's."""
    shown = {"name": plain(detector), "legendgroup": detector, "showlegend": number == 0}
    return {**shown, **axis_names(number)}


def lined(mark: Mark, width: float = 2) -> dict[str, Any]:
    """A line in a detector's colour and dash."""
    return {"color": mark.color, "dash": mark.dash, "width": width}


def plain(text: str) -> str:
    """Text that plotly shows as it stands, though it reads a little HTML."""
    return escape(text, quote=False)


def hundredths(values: Values) -> list[float]:
    """AP as papers show it."""
    return [rounded(100 * value) for value in values]


def rounded(value: float, digits: int = 4) -> float:
    """A number of so many significant digits; the file stays small."""
    if not math.isfinite(value) or value == 0:
        return value
    return round(value, digits - math.ceil(math.log10(abs(value))))


def spread_log(values: Values) -> bool:
    """Whether an axis needs to be logarithmic to show them all."""
    there = [value for value in values if math.isfinite(value)]
    return bool(there) and min(there) > 0 and max(there) / min(there) > 8


def log_axis(values: Values) -> dict[str, Any]:
    """A logarithmic axis ticked at 1, 2 and 5, at every other where those would crowd it.

    Plotly's own ticks crowd a narrow panel, and leave out the zeros of 2 and 5.
    """
    there = [value for value in values if math.isfinite(value)]
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


def _clean(value: Any) -> Any:
    """NaN and infinities, which JSON does not have, as null."""
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
