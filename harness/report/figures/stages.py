"""Where a detector's time goes."""

from collections.abc import Sequence
from itertools import pairwise

from harness.plugin.metrics import MetricSpec
from harness.report.figure import Drawing, if_seeds
from harness.report.figures.stacks import Shares, stack
from harness.results.estimate import Estimate
from harness.results.run import Run


def build(run: Run) -> Drawing | None:
    """The time by which detectors are ranked, split at the shorter spans that it contains."""
    whole = whole_time(run)
    if whole is None or whole.percent is None:
        return None
    spans = [spec for spec in run.metrics() if _alike(spec, whole)]
    found = {name: [run.estimate(name, s.name) for s in spans] for name in run.detectors}
    found = {name: times for name, times in found.items() if all(one.is_there for one in times)}
    if not found or len(spans) < 2:
        return None
    order = sorted(range(len(spans)), key=lambda i: sum(of[i].value for of in found.values()))
    names = [spans[order[0]].title, *(f"rest of {spans[i].title}" for i in order[1:])]
    shares: Shares = {
        name: dict(zip(names, _differences([of[i] for i in order]), strict=True))
        for name, of in found.items()
    }
    plot, table = stack({whole: shares})
    note = (
        f"{'Medians' if whole.percent == 50 else f'p{whole.percent:g}'}"
        f"{if_seeds(run, ', mean over seeds')}. The shortest span is timed by itself; each “rest "
        "of” is what a longer one takes beyond the one before: a difference of times of separate "
        "runs, which may fall below zero by noise."
    )
    return Drawing(plot, note, table)


def whole_time(run: Run) -> MetricSpec | None:
    """The time by which detectors are ranked, else the first that has samples."""
    times = [spec for spec in run.metrics() if spec.kind == "time"]
    with_samples = [s for s in times if any(run.estimate(n, s.name).samples for n in run.detectors)]
    return next((spec for spec in with_samples if spec.role == "cost"), next(iter(with_samples), None))


def _alike(spec: MetricSpec, whole: MetricSpec) -> bool:
    """The same statistic, taken under the same conditions."""
    keys = ("kind", "unit", "interval", "percent", "protocol", "settings")
    return all(getattr(spec, key) == getattr(whole, key) for key in keys)


def _differences(times: Sequence[Estimate]) -> list[float]:
    return [times[0].value, *(b.value - a.value for a, b in pairwise(times))]
