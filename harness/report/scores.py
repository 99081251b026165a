"""The table of `harness score`."""

import pandas as pd

from harness.report.format import amount, interval, level_mark
from harness.report.terminal import Grid, Head
from harness.results.run import Run


def scores_table(run: Run, detector: str, title: str) -> Grid:
    """One row per number, with one more digit than other tables have, and its interval."""
    heads: list[Head | str] = ["metric", "of", Head("value"), Head("95 % interval"), ""]
    grid = Grid(heads, title, lines=True)
    for record in run.measured:
        if record.detector == detector:
            estimate = run.estimate(detector, record.metric, record.scope)
            spec = estimate.metric
            shown = amount(spec, estimate.value, more=1) + level_mark(estimate)
            of = record.scope.partition("/")[2]
            grid.add(spec.title, of, shown, interval(estimate, more=1), spec.shown_unit)
    return grid


def scores_frame(run: Run) -> pd.DataFrame:
    """Values as recorded, with all digits; the interval is NaN where none is known."""
    rows = [
        (r.metric, r.scope, r.value, r.count, estimate.low, estimate.high, r.detector)
        for r in run.measured
        for estimate in [run.estimate(r.detector, r.metric, r.scope)]
    ]
    columns = ["metric", "scope", "value", "count", "low", "high", "detections"]
    return pd.DataFrame(rows, columns=columns, dtype=object)
