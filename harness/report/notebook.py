"""A run in Python and in a notebook, where it shows itself as its table."""

from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pandas as pd
from markupsafe import Markup, escape
from rich.console import Console

from harness.records import layout
from harness.report.format import DASH, amount, half_width, heading, level_mark
from harness.report.notes import captions, warnings_of
from harness.report.summary import main_table
from harness.results.difference import Difference
from harness.results.estimate import Estimate
from harness.results.run import Run
from harness.results.run_folder import read_run


@dataclass(frozen=True, eq=False, repr=False)
class OpenedRun:
    """What `harness.open_run` gives; it shows itself as its table."""

    run: Run

    @property
    def frame(self) -> pd.DataFrame:
        """One row per measured number, as of `harness.load_results`."""
        return self.run.frame

    @property
    def table(self) -> pd.DataFrame:
        """(detectors, the suite's columns), values as they are shown; NaN where there is none."""
        return self._table(lambda estimate: estimate.value * estimate.metric.scale)

    def estimate(self, detector: str, metric: str) -> Estimate:
        """A metric of a detector with its 95 % interval, in the recorded unit."""
        return self.run.estimate(detector, metric)

    def difference(self, base: str, other: str, metric: str) -> Difference:
        """Paired where both were measured on the same images; see docs/statistics.md."""
        return self.run.difference(base, other, metric)

    def __repr__(self) -> str:
        text = StringIO()
        Console(file=text, width=100, highlight=False).print(main_table(self.run))
        return text.getvalue().rstrip()

    def _repr_html_(self) -> str:
        page = self.run.folder / layout.PAGE
        link = Markup('<a href="{0}">{0}</a>').format(page) if page.is_file() else ""
        lines = [*captions(self.run), *map(str, warnings_of(self.run, self.run.columns)), link]
        below = Markup("<br>").join(map(escape, filter(None, lines)))
        return f"{self._table(_cell).to_html()}<small>{below}</small>"

    def _table(self, cell: Callable[[Estimate], object]) -> pd.DataFrame:
        run = self.run
        rows = {n: [cell(run.estimate(n, m)) for m in run.columns] for n in run.detectors}
        heads = [heading(run.spec(metric)) for metric in run.columns]
        return pd.DataFrame.from_dict(rows, orient="index", columns=heads)


def open_run(path: str | Path) -> OpenedRun:
    """Read a run's folder, with intervals over the images.

    Raises:
        UserError: it holds no run, or one that cannot be read.
    """
    return OpenedRun(read_run(Path(path)))


def _cell(estimate: Estimate) -> str:
    if not estimate.is_there:
        return DASH
    shown = f"{amount(estimate.metric, estimate.value)}{level_mark(estimate)}"
    return f"{shown} {half_width(estimate)}".rstrip()
