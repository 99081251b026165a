"""What kinds of errors cost how much."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from harness.report.figures.drawing import PATTERNS, Panel, hundredths, lay_out, named
from harness.report.figures.figure import Figure, Table
from harness.report.figures.numbers import analysed, mean, show
from harness.report.palette import Mark, marks
from harness.results.ap.types import CellAnalysis
from harness.results.run import Run

ALL = "all sizes"
Costs = Mapping[str, tuple[float, float]]  # kind -> count, cost
NOTE = (
    "AP50 that would be gained if one kind of error alone were mended, mean over seeds (TIDE, "
    "arXiv 2008.08115). The gains overlap and do not add up. Localisation: right class, box "
    "off; both: class and box wrong; background: nothing there."
)


def error_costs(run: Run) -> Figure | None:
    """Cost in AP50 of the six kinds of errors, of all objects and by size."""
    cells = {name: found for name, found in analysed(run).items() if found[0].errors}
    if not cells:
        return None
    sizes = list(dict.fromkeys(s for f in cells.values() for e in f[0].errors for s in e.by_size))
    sizes = [ALL, *(size for size in sizes if size not in ("all", ALL))]
    style, traces, rows = marks(run.detectors), [], []
    for number, size in enumerate(sizes):
        for place, (name, found) in enumerate(cells.items()):
            costs = _costs(found, size)
            traces.append(_bar(name, costs, style[name], place, number))
            rows.append((size, name, *(f"{show(100 * c)} ({n:.0f})" for n, c in costs.values())))
    kinds = [kind.name for kind in next(iter(cells.values()))[0].errors]
    height = 110 + 6 * (14 + 7 * len(cells))
    columns = min(2, len(sizes))
    plot = lay_out(traces, _panels(sizes), columns=columns, height=height, bargap=0.25)
    heads = ("objects", "detector", *(f"{kind}: AP50 (errors)" for kind in kinds))
    return Figure("errors", "Kinds of errors", NOTE, plot, Table(heads, tuple(rows)))


def _costs(found: Sequence[CellAnalysis], size: str) -> Costs:
    """Means over seeds."""
    costs = {}
    for kinds in zip(*(cell.errors for cell in found), strict=True):
        parts = [(k.count, k.cost) if size == ALL else k.by_size[size] for k in kinds]
        costs[kinds[0].name] = (mean([n for n, _ in parts]), mean([c for _, c in parts]))
    return costs


def _bar(name: str, costs: Costs, mark: Mark, place: int, number: int) -> Any:
    pattern = {"shape": PATTERNS[place % len(PATTERNS)], "fillmode": "overlay", "size": 6}
    return go.Bar(
        x=hundredths([cost for _, cost in costs.values()]),
        y=list(costs),
        orientation="h",
        marker={"color": mark.color, "pattern": pattern},
        hovertemplate="%{y}: %{x:.1f}",
        **named(name, number),
    )


def _panels(sizes: Sequence[str]) -> list[Panel]:
    return [
        Panel(
            {"title": {"text": f"AP50 gained, {size if size == ALL else f'{size} objects'}"}},
            {"type": "category", "autorange": "reversed"},
            number,
        )
        for number, size in enumerate(sizes)
    ]
