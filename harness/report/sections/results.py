"""The main table: one row per detector, one column per metric of the suite."""

from markupsafe import Markup

from harness.plugin.metrics import MetricSpec
from harness.report.format import best_of
from harness.report.page import show
from harness.results.run import Run


def build(run: Run) -> Markup:
    """The suite's columns, and every other metric of whole detectors to be switched on."""
    columns = [run.spec(name) for name in run.columns]
    others = [s for s in run.metrics() if s not in columns and not s.of_cell and run.has(s.name)]
    specs = [*columns, *others]
    estimates = {name: [run.estimate(name, s.name) for s in specs] for name in run.detectors}
    return show(
        "results.html",
        run,
        specs=specs,
        shown=len(columns),
        rows=estimates,
        best={spec.name: find_best(run, spec) for spec in specs},
        seeds=max((e.count for own in estimates.values() for e in own), default=0),
    )


def find_best(run: Run, spec: MetricSpec) -> str | None:
    """The detector with the best value; see `best_of`."""
    found = {name: run.estimate(name, spec.name) for name in run.detectors}
    return best_of({name: e.value for name, e in found.items() if e.is_usable}, spec)
