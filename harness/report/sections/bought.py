"""Which part bought the accuracy: what detectors differ in, and what each thing alone is worth."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from harness.plugin.metrics import MetricSpec
from harness.report.page import show
from harness.results.ablation import Ablation, Change, built_detectors, differing, single_changes
from harness.results.main_effect import Compared, MainEffect, main_effect
from harness.results.run import Run

MOST = 12  # detectors beside each other


@dataclass(frozen=True)
class Worth:
    """What one change does, by metric: in each pair, and in the mean where there are several."""

    change: Change
    pairs: Sequence[tuple[Ablation, Mapping[str, Compared]]]
    effects: Mapping[str, MainEffect]


def build(run: Run) -> Markup | None:
    """None where there are not two detectors that are built here."""
    names = list(built_detectors(run))
    if len(names) < 2:
        return None
    return show(
        "bought.html",
        run,
        worths=list(_worths(run)),
        metrics=_metrics(run),
        names=names[:MOST],
        left_out=names[MOST:],
        table=[(what, values[:MOST]) for what, values in differing(run).items()],
    )


def _worths(run: Run) -> Iterator[Worth]:
    metrics = [m.name for m in _metrics(run)]
    for change, found in groupby(single_changes(run), key=lambda one: one.change):
        pairs = [(one, {m: _compared(run, one, m) for m in metrics}) for one in found]
        averaged = metrics if len(pairs) > 1 else []
        yield Worth(change, pairs, {m: main_effect([of[m] for _, of in pairs]) for m in averaged})


def _compared(run: Run, one: Ablation, metric: str) -> Compared:
    return Compared(
        run.estimate(one.base, metric),
        run.estimate(one.other, metric),
        run.difference(one.base, one.other, metric),
    )


def _metrics(run: Run) -> list[MetricSpec]:
    return [*run.ranked("score"), *run.ranked("cost")]
