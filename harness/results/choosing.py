"""The best detector within limits: of all that meet them, by the first score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.errors import UserError, near_names
from harness.plugin.metrics import MetricSpec
from harness.results.difference import Difference, hold_together
from harness.results.estimate import Estimate
from harness.results.ranking import Ranking, rank
from harness.results.run import Run


@dataclass(frozen=True)
class Limit:
    """A bound on one number of a detector.

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
        near: limits that the best meets by less than its uncertainty.
        misses: detectors that do not fit, and the limit that each misses first; None for one
            that has no usable score.
    """

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


def ranked_by_score(run: Run) -> Ranking | None:
    """By the first score, None where no detector has a usable one.

    Raises:
        UserError: the run has no score to choose by.
    """
    scores = run.ranked("score")
    if not scores:
        raise UserError("has no score to choose by", where=run.folder)
    return rank(run, scores[0])


def differences_behind(run: Run, ranking: Ranking, place: int) -> dict[str, Difference]:
    """The detector at a place of the ranking minus each of those behind it.

    They are corrected for their number whatever the limits are: a limit that leaves out a rival
    makes no difference significant.
    """
    best, *others = (one.detector for one in ranking.order[place:])
    found = [run.difference(other, best, ranking.metric.name) for other in others]
    return dict(zip(others, hold_together(found), strict=True))


def choose(run: Run, limits: Sequence[Limit]) -> Choice:
    """The best within limits.

    Raises:
        UserError: the run has no score to choose by.
    """
    ranking = ranked_by_score(run)
    misses: dict[str, Limit | None] = dict.fromkeys(run.detectors)
    fitting: list[int] = []
    for place, found in enumerate(ranking.order if ranking else ()):
        name = found.detector
        misses[name] = next(
            (one for one in limits if not one.is_met(run.estimate(name, one.metric.name))), None
        )
        if misses[name] is None:
            del misses[name]
            fitting.append(place)
    if ranking is None or not fitting:
        return Choice((), misses=misses)
    order = tuple(ranking.order[place] for place in fitting)
    behind = differences_behind(run, ranking, fitting[0])
    best, *others = (one.detector for one in order)
    near = tuple(one for one in limits if one.is_near(run.estimate(best, one.metric.name)))
    return Choice(order, tuple(behind[name] for name in others), near, misses)
