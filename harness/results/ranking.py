"""Which detector is best of what, and whether the others are really behind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.plugin.metrics import Finding, MetricSpec
from harness.results.difference import Difference, hold_together
from harness.results.estimate import Estimate, below_floor
from harness.results.run import Run

Certainty = Literal["sure", "single", "unsure", "alone"]


@dataclass(frozen=True, eq=False)
class Ranking:
    """Detectors by one metric.

    Attributes:
        order: those that can be ranked, the best first.
        differences: the best to every other of them, in that order.
        left_out: detectors that cannot, and why.
    """

    metric: MetricSpec
    order: tuple[Estimate, ...]
    differences: tuple[Difference, ...]
    left_out: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)

    @property
    def best(self) -> Estimate:
        return self.order[0]

    @property
    def rivals(self) -> list[tuple[Estimate, Difference]]:
        """Every other one with the best's difference to it."""
        return list(zip(self.order[1:], self.differences, strict=True))

    @property
    def certainty(self) -> Certainty:
        """How sure the best is; "single" is sure but for the seeds, of which there is only one."""
        if not self.differences:
            return "alone"
        if any(found.verdict not in ("better", "equal") for found in self.differences):
            return "unsure"
        doubted = any(one.reasons for one in self.order[:2])
        if doubted and self.metric.role == "cost":  # of a score the interval holds what is doubted
            return "unsure"
        return "single" if any(found.caveats for found in self.differences) else "sure"


def rank(run: Run, metric: MetricSpec) -> Ranking | None:
    """Detectors by one metric; None where no number can be ranked.

    Who is best was picked from the same data that the differences are of, so the differences of
    scores are corrected for their number (`hold_together`).
    """
    left_out: dict[str, tuple[Finding, ...]] = {}
    usable = []
    for name in run.detectors:
        found = run.estimate(name, metric.name)
        below = dead(run, name)
        if not found.is_there:
            left_out[name] = (Finding("not_measured", "remark"),)
        elif not found.is_usable:
            left_out[name] = found.reasons
        elif below is not None:
            left_out[name] = (below,)
        else:
            usable.append(found)
    if not usable:
        return None
    order = sorted(usable, key=lambda estimate: estimate.worth)
    best, *others = order
    behind = [run.difference(other.detector, best.detector, metric.name) for other in others]
    return Ranking(metric, tuple(order), tuple(hold_together(behind)), left_out)


def rankings(run: Run) -> list[Ranking]:
    """By every score and cost that was measured, scores first."""
    specs = [*run.ranked("score"), *run.ranked("cost")]
    return [found for spec in specs if (found := rank(run, spec)) is not None]


def dead(run: Run, detector: str) -> Finding | None:
    """Why a detector competes in nothing; None where it does."""
    return below_floor(run.estimate(detector, spec.name) for spec in run.ranked("score"))


def on_front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Names of (cost, score) that no other beats in both, from cheap to dear."""
    kept: list[str] = []
    for name in sorted(points, key=lambda n: (points[n][0], -points[n][1])):
        if not kept or points[name][1] > points[kept[-1]][1]:
            kept.append(name)
    return kept
