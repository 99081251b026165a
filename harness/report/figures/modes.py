"""The score against the time of every inference mode."""

from collections.abc import Sequence
from itertools import groupby

import pandas as pd
import plotly.graph_objects as go

from harness.plugin.metrics import MetricSpec
from harness.report import figure
from harness.report.format import heading
from harness.report.mode_rows import ModeRow, main_time, mode_rows
from harness.results.estimate import Estimate
from harness.results.run import Run
from harness.stages.metrics import MODE_SCORE

NOTE = (
    "One colour and line per detector, one symbol per mode; higher and further left is better. A "
    "mode that has to find what eager finds is drawn at the {score} of the detector, one of 8 bits "
    "at its own. Bars are 95 % intervals where they are known."
)
Point = tuple[str, Estimate, Estimate]  # mode, time, score


def build(run: Run) -> figure.Drawing | None:
    """None where no detector ran in two modes of which time and score are known."""
    rows, time, score = mode_rows(run), main_time(run), run.catalog.main_score
    if not rows or time is None or score is None:
        return None
    points = {
        name: [one for row in own if (one := _point(run, row, time, score)) is not None]
        for name, own in groupby(rows, key=lambda row: row.detector)
    }
    if all(len(own) < 2 for own in points.values()):
        return None
    modes = list(dict.fromkeys(mode for own in points.values() for mode, _, _ in own))
    symbols = dict(zip(modes, _symbols(len(modes)), strict=True))
    plot, style = figure.panels(1, height=420), figure.styles(run.detectors)
    for name, own in points.items():
        if own:
            # an entry in the legend without any mode's symbol
            of_line = {"mode": "lines", "line": style[name].line(1.5), **figure.named(name)}
            plot.add_trace(go.Scatter(x=[None], y=[None], **of_line))
            plot.add_trace(_line(name, own, symbols, style[name]))
    for mode in modes:
        marker = {"color": figure.NEUTRAL, "symbol": symbols[mode], "size": 9}
        given = figure.named(mode, f"mode {mode}")
        plot.add_trace(go.Scatter(x=[None], y=[None], mode="markers", marker=marker, **given))
    times = [figure.drawn(time, t.value) for own in points.values() for _, t, _ in own]
    plot.update_xaxes(title_text=figure.plain(heading(time)), **figure.log_axis(times))
    plot.update_yaxes(title_text=figure.plain(heading(score)), rangemode="nonnegative")
    shown = [
        [name, mode, figure.shown(score_of), figure.shown(time_of)]
        for name, own in points.items()
        for mode, time_of, score_of in own
    ]
    table = pd.DataFrame(shown, columns=["detector", "mode", heading(score), heading(time)])
    title = f"{score.title} against {time.title}, by mode"
    return figure.Drawing(plot, NOTE.format(score=score.title), table, title)


def _symbols(count: int) -> list[str]:
    """As many as there are modes; the later ones hollow."""
    known = [*figure.SYMBOLS, *(f"{symbol}-open" for symbol in figure.SYMBOLS)]
    return [known[i % len(known)] for i in range(count)]


def _point(run: Run, row: ModeRow, time: MetricSpec, score: MetricSpec) -> Point | None:
    of, check = run.estimate(row.detector, score.name), row.estimates.get(MODE_SCORE)
    if check is not None and check.conditions.get("quantized"):  # a score of its own
        again = run.estimate_quantized(row.detector, row.mode, score.name)
        of = again if again.is_there else check  # with an interval, where its detections were kept
    spent = row.estimates.get(time.name)
    if spent is None or not (spent.is_usable and of.is_usable):
        return None
    return row.mode, spent, of


def _line(
    name: str, points: Sequence[Point], symbols: dict[str, str], style: figure.Style
) -> go.Scatter:
    ordered = sorted(points, key=lambda point: point[1].value)
    times, scores = [t for _, t, _ in ordered], [s for _, _, s in ordered]
    x, y = times[0].metric, scores[0].metric
    return go.Scatter(
        x=[figure.drawn(x, t.value) for t in times],
        y=[figure.drawn(y, s.value) for s in scores],
        customdata=[figure.plain(mode) for mode, _, _ in ordered],
        mode="lines+markers",
        line=style.line(1.5),
        marker={"color": style.color, "symbol": [symbols[m] for m, _, _ in ordered], "size": 11},
        error_x=style.bars(times),
        error_y=style.bars(scores),
        hovertemplate=f"%{{customdata}}: {figure.hover('y', y)} at {figure.hover('x', x)}",
        **figure.named(name, legend=False),
    )
