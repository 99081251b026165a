"""The table of `harness score`."""

import pandas as pd

from harness.report.format import interval
from harness.report.terminal import Grid, Head, titled, value_cell
from harness.results.run import Run


def scores_table(run: Run, detector: str, title: str) -> Grid:
    """One row per number, with its interval."""
    own = [record for record in run.measured if record.detector == detector]
    scoped = any(record.scope for record in own)
    of: list[Head | str] = ["of"] if scoped else []
    grid = Grid(["metric", *of, Head("value"), Head("95 % interval")], title, lines=True)
    for record in own:
        estimate = run.estimate(detector, record.metric, record.scope)
        what = [record.scope.partition("/")[2]] if scoped else []
        grid.add(titled(estimate.metric), *what, value_cell(estimate), interval(estimate))
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
