"""The table of `harness score`."""

from collections.abc import Sequence

import pandas as pd

from harness.plugin.catalog import Catalog
from harness.records.measurement import Measurement
from harness.report.format import number
from harness.report.terminal import Grid, Head


def scores_table(measured: Sequence[Measurement], catalog: Catalog, title: str) -> Grid:
    """One row per number, with one more digit than other tables have."""
    grid = Grid(["metric", "of", Head("value"), ""], title)
    for m in measured:
        spec = catalog.spec(m.metric)
        shown = number(m.value * spec.scale, spec.digits + 1)
        grid.add(spec.title, m.scope.partition("/")[2], shown, spec.shown_unit)
    return grid


def scores_frame(measured: Sequence[Measurement]) -> pd.DataFrame:
    """Values as recorded, with all digits."""
    rows = [(m.metric, m.scope, m.value, m.count) for m in measured]
    return pd.DataFrame(rows, columns=["metric", "scope", "value", "count"], dtype=object)
