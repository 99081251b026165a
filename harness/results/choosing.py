"""The best detector within limits: of all that meet them, by the first score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.errors import UserError, near_names
from harness.plugin.metrics import MetricSpec
from harness.results.difference import Difference, hold_together
from harness.results.estimate import Estimate
from harness.results.ranking import below_floor
from harness.results.run import Run


@dataclass(frozen=True)
class Limit:
    """What a detector must keep to.

    Attributes:
        bound: in the unit that is shown, such as ms or points.
        upper: at most, else at least.
    """

    metric: MetricSpec
    bound: float
    upper: bool

    def is_met(self, found: Estimate) -> bool:
        shown = found.value * self.metric.scale
        return found.is_usable and (shown <= self.bound if self.upper else shown >= self.bound)

    def is_near(self, found: Estimate) -> bool:
        """Whether the bound is within the number's interval."""
        low, high = found.low * self.metric.scale, found.high * self.metric.scale
        return found.has_interval and low < self.bound < high


@dataclass(frozen=True, eq=False)
class Choice:
    """What fits.

    Attributes:
        order: by the score, the best first; empty where nothing fits.
        differences: the best to every other of them.
        near: limits that the best meets or misses by less than its uncertainty.
        misses: detectors that do not fit, and the limit that each misses first; None for one
            that has no usable score.
    """

    score: MetricSpec
    order: tuple[Estimate, ...]
    differences: tuple[Difference, ...] = ()
    near: tuple[Limit, ...] = ()
    misses: Mapping[str, Limit | None] = field(default_factory=dict)


def limitable(run: Run) -> list[tuple[MetricSpec, bool]]:
    """What the page offers limits of, and whether they are upper ones: costs, further scores."""
    costs = [(spec, not spec.higher_is_better) for spec in run.ranked("cost")]
    return costs + [(spec, False) for spec in run.ranked("score")[1:]]


def parse_limit(run: Run, text: str, upper: bool) -> Limit:
    """ "latency=15" or "ap_small=10.5": a metric or its short name, and a number as tables show it.

    Raises:
        UserError: it is neither, or the run has no such number.
    """
    name, equals, number = text.partition("=")
    where = f"--at-{'most' if upper else 'least'} {text}"
    try:
        bound = float(number)
    except ValueError as error:
        raise UserError("is not of the form METRIC=NUMBER", where=where) from error
    if not equals:
        raise UserError("is not of the form METRIC=NUMBER", where=where)
    spec = run.catalog.find(name)
    if spec is None or not run.has(spec.name):
        known = [spec.name for spec in run.metrics()]
        hint = near_names(name, known)
        raise UserError(f"'{name}' was not measured in this run", where=where, hint=hint)
    return Limit(spec, bound, upper)


def choose(run: Run, limits: Sequence[Limit]) -> Choice:
    """The best within limits.

    Raises:
        UserError: the run has no score to choose by.
    """
    scores = run.ranked("score")
    if not scores:
        raise UserError("has no score to choose by", where=run.folder)
    score, fitting = scores[0], []
    misses: dict[str, Limit | None] = {}
    for name in run.detectors:
        found = run.estimate(name, score.name)
        if not found.is_usable or below_floor(run, name) is not None:
            misses[name] = None
            continue
        missed = [one for one in limits if not one.is_met(run.estimate(name, one.metric.name))]
        if missed:
            misses[name] = missed[0]
        else:
            fitting.append(found)
    order = sorted(fitting, key=lambda e: e.value, reverse=bool(score.higher_is_better))
    if not order:
        return Choice(score, (), misses=misses)
    best, *others = order
    behind = [run.difference(other.detector, best.detector, score.name) for other in others]
    near = [one for one in limits if one.is_near(run.estimate(best.detector, one.metric.name))]
    return Choice(score, tuple(order), tuple(hold_together(behind)), tuple(near), misses)
