"""Which part bought the accuracy: what detectors differ in, and what each thing alone is worth."""

from markupsafe import Markup

from harness.plugin.metrics import MetricSpec
from harness.report.page import show
from harness.results.ablation import built_detectors, differing, single_changes
from harness.results.run import Run

MOST = 12  # detectors beside each other


def build(run: Run) -> Markup | None:
    """None where there are not two detectors that are built here."""
    names = list(built_detectors(run))
    if len(names) < 2:
        return None
    pairs = [
        (one, {m.name: run.difference(one.base, one.other, m.name) for m in _metrics(run)})
        for one in single_changes(run)
    ]
    return show(
        "bought.html",
        run,
        pairs=pairs,
        metrics=_metrics(run),
        names=names[:MOST],
        left_out=names[MOST:],
        table=[(what, values[:MOST]) for what, values in differing(run).items()],
    )


def _metrics(run: Run) -> list[MetricSpec]:
    return [*run.ranked("score"), *run.ranked("cost")]
