"""The best detector within limits, and in which mode: of all that meet them, by the first score."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.errors import UserError, near_names
from harness.plugin.metrics import MetricSpec
from harness.results.contenders import (
    Contender,
    difference_between,
    estimate_in,
    find_contenders,
    is_measured,
    modes_of,
)
from harness.results.difference import Difference, hold_together
from harness.results.estimate import Estimate, below_floor
from harness.results.run import Run

NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(.*?)\s*", re.IGNORECASE)
Groups = Mapping[str, Sequence[Contender]]


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

    def distance(self, found: Estimate) -> float:
        """How far a number is from the bound; infinite of one that is not usable."""
        return abs(found.value * self.metric.scale - self.bound) if found.is_usable else math.inf


@dataclass(frozen=True, eq=False)
class Choice:
    """What fits.

    Attributes:
        order: the best first; empty where nothing fits.
        rivals: `scored_as` of the others that fit -> the best's score to theirs.
        slower: the best's other modes that fit and have its score -> its first cost to theirs.
        near: limits that the best meets by less than its uncertainty.
        misses: those that do not fit, and the limit that each misses first; None for one
            that has no usable score.
    """

    order: tuple[Contender, ...]
    rivals: Mapping[str, Difference] = field(default_factory=dict)
    slower: Mapping[str, Difference] = field(default_factory=dict)
    near: tuple[Limit, ...] = ()
    misses: Mapping[Contender, Limit | None] = field(default_factory=dict)


def limitable(run: Run) -> list[tuple[MetricSpec, bool]]:
    """What the page offers limits of, and whether they are upper ones.

    Costs, further scores, and what else of the main table has a better side.
    """
    scores = run.ranked("score")
    costs = [spec for spec in run.catalog.ranked("cost") if is_measured(run, spec.name)]
    columns = [run.spec(name) for name in run.plan.get("columns", ()) if is_measured(run, name)]
    offered = dict.fromkeys([*costs, *scores[1:], *(spec for spec in columns if spec.better)])
    return [(spec, not spec.higher_is_better) for spec in offered if spec not in scores[:1]]


def parse_limit(run: Run, text: str, upper: bool) -> Limit:
    """ "latency=15", "latency=15ms" or "ap_small=10.5": a metric or its short name, and a number.

    As tables show it; with the unit of a record, such as "ap_small=0.105AP", as that has it.

    Raises:
        UserError: it is neither, or the run has no such number.
    """
    name, equals, number = text.partition("=")
    where = f"--at-{'most' if upper else 'least'} {text}"
    match = NUMBER.fullmatch(number)
    if not equals or match is None:
        raise UserError("is not of the form METRIC=NUMBER", where=where)
    spec = run.catalog.find(name)
    if spec is None or not is_measured(run, spec.name):
        known = [spec.name for spec in run.metrics()]
        hint = near_names(name, known)
        raise UserError(f"'{name}' was not measured in this run", where=where, hint=hint)
    bound, unit = float(match[1]), match[2].casefold()
    if unit not in ("", spec.shown_unit.casefold()):
        if unit != spec.unit.casefold():
            raise UserError(f"{spec.title} is in {spec.shown_unit or 'no unit'}", where=where)
        bound *= spec.scale
    return Limit(spec, bound, upper)


def check_modes(run: Run, modes: Sequence[str]) -> None:
    """Raises UserError for a mode that no detector of the run was timed in."""
    known = modes_of(run)
    for name in modes:
        if name not in known:
            hint = near_names(name, known)
            raise UserError(f"'{name}' was not timed in this run", where="--mode", hint=hint)


def first_score(run: Run) -> MetricSpec:
    """What is chosen by.

    Raises:
        UserError: the run has no score.
    """
    scores = run.ranked("score")
    if not scores:
        raise UserError("has no score to choose by", where=run.folder)
    return scores[0]


def mode_cost(run: Run) -> MetricSpec | None:
    """The first cost that differs from mode to mode: of equal scores it decides."""
    by_mode = {record.metric for record in run.measured if record.mode}
    costs = run.catalog.ranked("cost")
    return next((spec for spec in costs if spec.name in by_mode), None)


def rank_contenders(run: Run) -> Groups:
    """Those with a usable score, the best first, by `scored_as`: within a group all are as good.

    Of equal ones the one with the lowest `mode_cost` is first.
    """
    score, cost = first_score(run), mode_cost(run)
    usable = [one for one in find_contenders(run) if _competes(run, one, score)]
    if cost is not None:
        usable.sort(key=lambda one: estimate_in(run, one, cost.name).worth)
    groups: dict[str, list[Contender]] = {}
    for one in usable:
        groups.setdefault(one.scored_as, []).append(one)
    ranked = sorted(groups, key=lambda name: estimate_in(run, groups[name][0], score.name).worth)
    return {name: groups[name] for name in ranked}


def _competes(run: Run, one: Contender, score: MetricSpec) -> bool:
    """Whether it has a usable score, and none below what any learning gives."""
    scores = [estimate_in(run, one, spec.name) for spec in run.ranked("score")]
    return estimate_in(run, one, score.name).is_usable and not below_floor(scores)


def differences_behind(run: Run, groups: Groups, name: str) -> dict[str, Difference]:
    """The score of a group minus each of those behind it.

    They are corrected for their number whatever the limits are: a limit that leaves out a rival
    makes no difference significant.
    """
    score, names = first_score(run).name, list(groups)
    behind = names[names.index(name) + 1 :]
    best = groups[name][0]
    found = [difference_between(run, groups[other][0], best, score) for other in behind]
    return dict(zip(behind, hold_together(found), strict=True))


def differences_of_modes(
    run: Run, best: Contender, others: Sequence[Contender]
) -> dict[str, Difference]:
    """The `mode_cost` of a contender to that of other modes of its detector."""
    cost = mode_cost(run)
    if cost is None:
        return {}
    return {one.mode: difference_between(run, one, best, cost.name) for one in others}


def choose(run: Run, limits: Sequence[Limit], modes: Sequence[str] = ()) -> Choice:
    """The best within limits, in any mode or in some.

    Raises:
        UserError: the run has no score to choose by.
    """
    groups = rank_contenders(run)
    ranked = [one for own in groups.values() for one in own]
    misses: dict[Contender, Limit | None] = {
        one: None for one in find_contenders(run) if not modes or one.mode in modes
    }
    fitting = []
    for one in (one for one in ranked if one in misses):
        missed = (limit for limit in limits if not limit.is_met(_limited(run, one, limit)))
        misses[one] = next(missed, None)
        if misses[one] is None:
            del misses[one]
            fitting.append(one)
    if not fitting:
        return Choice((), misses=misses)
    best, *others = fitting
    behind = differences_behind(run, groups, best.scored_as)
    names = dict.fromkeys(one.scored_as for one in others if one.scored_as != best.scored_as)
    alike = [one for one in others if one.scored_as == best.scored_as]
    return Choice(
        order=tuple(fitting),
        rivals={name: behind[name] for name in names},
        slower=differences_of_modes(run, best, alike),
        near=tuple(limit for limit in limits if limit.is_near(_limited(run, best, limit))),
        misses=misses,
    )


def _limited(run: Run, one: Contender, limit: Limit) -> Estimate:
    return estimate_in(run, one, limit.metric.name)


def nearest_misses(
    run: Run, misses: Mapping[Contender, Limit | None], limits: Sequence[Limit]
) -> dict[Contender, Limit | None]:
    """Of each detector the mode that misses the last limit, and that by the least."""

    def order(one: Contender) -> tuple[int, float]:
        missed = misses[one]
        if missed is None:
            return len(limits) + 1, 0.0
        return -limits.index(missed), missed.distance(_limited(run, one, missed))

    chosen: dict[str, Contender] = {}
    for one in sorted(misses, key=order):
        chosen.setdefault(one.detector, one)
    return {one: misses[one] for one in misses if chosen[one.detector] is one}
