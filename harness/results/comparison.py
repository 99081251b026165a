"""All sides against the base, row by row."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from harness.errors import UserError, near_names
from harness.plugin.catalog import Catalog
from harness.plugin.metrics import Finding, MetricSpec
from harness.results.difference import Difference, find_difference
from harness.results.estimate import Estimate
from harness.results.gates import Gate, GateResult, evaluate
from harness.results.samples.medians import SMALLEST_EFFECT
from harness.results.sides import Side

ALL = "all"


@dataclass(frozen=True, eq=False)
class Row:
    """One metric of a detector, over all sides.

    Attributes:
        detector: "" where each side is another detector.
        estimates: one per side, the base first; without a value where a side has none.
        differences: to the base, one per side but the base.
        best: sides with the best value among those that may be compared; empty if all are equal,
            and if it is that of a dead one.
        rivals: sides whose difference to the best is not outside the noise.
        dead: sides whose detector competes in nothing, and why.
    """

    detector: str
    metric: MetricSpec
    estimates: tuple[Estimate, ...]
    differences: tuple[Difference, ...]
    best: tuple[int, ...] = ()
    rivals: tuple[int, ...] = ()
    dead: Mapping[int, Finding] = field(default_factory=dict)

    @property
    def values(self) -> tuple[float, ...]:
        """NaN where there is none."""
        return tuple(one.value for one in self.estimates)

    @property
    def seeds(self) -> tuple[int, ...]:
        """How many seeds each value rests on."""
        return tuple(len(one.seeds) for one in self.estimates)


@dataclass(frozen=True, eq=False)
class Comparison:
    """A whole comparison.

    Attributes:
        sides: names, the base first.
        paths: of the sides, as given.
        rows: grouped by detector.
        lone: detectors that have nobody to be compared with, and the sides that have them: not
            the base, or the base alone.
        notes: what could not be known and why.
        gates: results of the gates, in the order given.
        catalog: how warnings read.
    """

    sides: tuple[str, ...]
    paths: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    gates: tuple[GateResult, ...] = ()
    lone: tuple[tuple[str, tuple[str, ...]], ...] = ()
    catalog: Catalog = field(default_factory=Catalog)

    @property
    def comparable(self) -> bool:
        """Whether anything could be compared at all."""
        return any(found.compared for row in self.rows for found in row.differences)

    @property
    def common_rows(self) -> tuple[Row, ...]:
        """Rows with a value, without those of detectors that have nobody to be compared with."""
        lone = {detector for detector, _ in self.lone}
        there = (row for row in self.rows if any(one.is_there for one in row.estimates))
        return tuple(row for row in there if row.detector not in lone)


@dataclass(frozen=True)
class Rules:
    """How to compare.

    Attributes:
        allow_mismatch: compare what was not measured alike, too, and say so.
        smallest_effect: relative difference of times that is too small to matter.
    """

    allow_mismatch: bool = False
    smallest_effect: float = SMALLEST_EFFECT


USUAL = Rules()


def compare_sides(
    sides: Sequence[Side],
    metrics: Sequence[str] = (),
    only: Sequence[str] = (),
    rules: Rules = USUAL,
    gates: Sequence[Gate] = (),
) -> Comparison:
    """Compare sides with the first of them.

    Args:
        metrics: names or short names, ["all"], or none for the base's main table.
        only: detectors; none for all.
        gates: their metrics are compared, too, but shown only if asked for.

    Raises:
        UserError: a metric or detector that no side has.
    """
    catalog = join_catalogs(sides)
    shown = choose_metrics(sides, list(metrics))
    rows = tuple(_rows(sides, shown, only, rules))
    names = tuple(side.name for side in sides)
    notes = [note for side in sides for note in side.notes]
    caveats = [catalog.word(c) for row in rows for d in row.differences for c in d.caveats]
    return Comparison(
        sides=names,
        paths=tuple(side.path for side in sides),
        rows=rows,
        notes=tuple(dict.fromkeys([*notes, *caveats])),
        gates=judge_gates(sides, gates, only, rules, shown),
        lone=tuple(_lone(sides, only)),
        catalog=catalog,
    )


def judge_gates(
    sides: Sequence[Side],
    gates: Sequence[Gate],
    only: Sequence[str] = (),
    rules: Rules = USUAL,
    shown: Sequence[str] = (),
) -> tuple[GateResult, ...]:
    """Gates at every row of their metrics, whatever else is compared.

    Args:
        only: detectors; none for all.
        shown: metrics whose rows are shown, with what is doubtful of them.

    Raises:
        UserError: a metric or detector that no side has.
    """
    catalog = join_catalogs(sides)
    gates = [replace(g, metric=full_name(g.metric, sides, measured=False)) for g in gates]
    rows = tuple(_rows(sides, list(dict.fromkeys(g.metric for g in gates)), only, rules))
    names = tuple(side.name for side in sides)
    return tuple(
        result
        for gate in gates
        for result in evaluate(gate, rows, names, catalog, shown=gate.metric in shown)
    )


def join_catalogs(sides: Sequence[Side]) -> Catalog:
    """The metrics of all sides."""
    return reduce(Catalog.joined, (side.catalog for side in sides))


def _row(
    title: str,
    estimates: Sequence[Estimate],
    names: Sequence[str],
    dead: Mapping[int, Finding],
    rules: Rules,
) -> Row:
    """One metric over all sides; `names` are their detectors."""

    def compare(one: int, other: int) -> Difference:
        same = names[one] == names[other]
        return find_difference(estimates[one], estimates[other], same_detector=same, **vars(rules))

    spec = estimates[0].metric
    differences = tuple(compare(0, other) for other in range(1, len(estimates)))
    in_play = [0] if estimates[0].is_usable else []
    in_play += [i for i, d in enumerate(differences, 1) if d.compared]
    best = _best({i: estimates[i].value for i in in_play}, spec.higher_is_better)
    if dead.keys() & best:
        best = ()
    rivals = [i for i in in_play if best and i != best[0] and not compare(best[0], i).real]
    return Row(title, spec, tuple(estimates), differences, best, tuple(rivals), dead)


def choose_metrics(sides: Sequence[Side], wanted: Sequence[str]) -> list[str]:
    """The metrics asked for; without any, the first main table that a side has, or what
    detectors rank by.

    Raises:
        UserError: one is unknown, or the sides have no numbers at all.
    """
    known = known_names(sides)
    if list(wanted) == [ALL]:
        return known
    if wanted:
        return list(dict.fromkeys(full_name(metric, sides) for metric in wanted))
    ranked = [spec.name for spec in join_catalogs(sides).specs.values() if spec.role]
    columns = next((side.columns for side in sides if side.columns), ranked)
    usual = [metric for metric in columns if metric in known]
    return usual or known


def choose_detectors(sides: Sequence[Side], only: Sequence[str]) -> list[str]:
    """Names in the base's order, then those that only others have.

    Raises:
        UserError: one of `only` is on no side.
    """
    known = list(dict.fromkeys(name for side in sides for name in side.estimates))
    for name in only:
        if name not in known:
            raise UserError(f"no side has the detector '{name}'", hint=near_names(name, known))
    return [name for name in known if not only or name in only]


def full_name(metric: str, sides: Sequence[Side], measured: bool = True) -> str:
    """The metric that a name or short name means.

    Args:
        measured: some side must have it; else it is enough that somebody declares it.

    Raises:
        UserError: no side has it.
    """
    known = known_names(sides)
    if metric in known:
        return metric
    spec = join_catalogs(sides).find(metric)
    if spec is not None and (spec.name in known or not measured):
        return spec.name
    raise UserError(f"no side has the metric '{metric}'", hint=near_names(metric, known))


def known_names(sides: Sequence[Side]) -> list[str]:
    """Metrics of all sides, in the order in which they were recorded."""
    found = [m for side in sides for estimates in side.estimates.values() for m in estimates]
    return list(dict.fromkeys(found))


def _rows(
    sides: Sequence[Side], metrics: Sequence[str], only: Sequence[str], rules: Rules
) -> Iterator[Row]:
    """Wherever some side has a number; the detector is "" where every side is another one."""
    if sides[0].picked is not None:
        names = {"": [str(side.picked) for side in sides]}
    else:
        names = {name: [name] * len(sides) for name in choose_detectors(sides, only)}
    for title, chosen in names.items():
        of = [side.estimates.get(name, {}) for side, name in zip(sides, chosen, strict=True)]
        both = zip(sides, chosen, strict=True)
        below = {i: side.below_floor(name) for i, (side, name) in enumerate(both)}
        dead = {i: why for i, why in below.items() if why is not None}
        for metric in metrics:
            found = [own.get(metric) for own in of]
            spec = next((one.metric for one in found if one is not None), None)
            if spec is not None:
                yield _row(title, [one or Estimate(spec) for one in found], chosen, dead, rules)


def _lone(sides: Sequence[Side], only: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Detectors that the base lacks, or has alone, with the sides that have them."""
    if sides[0].picked is not None:
        return
    for detector in choose_detectors(sides, only):
        having = tuple(side.name for side in sides if detector in side.estimates)
        if detector not in sides[0].estimates or len(having) == 1:
            yield detector, having


def _best(values: Mapping[int, float], higher: bool | None) -> tuple[int, ...]:
    """Sides with the best value; none where there is no better or all are alike."""
    found = set(values.values())
    if higher is None or len(found) < 2:
        return ()
    best = max(found) if higher else min(found)
    return tuple(side for side, value in values.items() if value == best)
