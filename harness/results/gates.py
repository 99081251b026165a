"""Limits on differences to the base, for continuous integration."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.errors import UserError
from harness.plugin.catalog import Catalog
from harness.results.difference import Difference

if TYPE_CHECKING:
    from harness.results.comparison import Row

Kind = Literal["", "x", "%"]
# What a gate is made of, in order: the first that does not fit is where the mistake is.
PARTS = (
    (r"\s*(?:(?P<detector>[^\s<>=]+):)?(?P<metric>\w+)\s*", "the name of a metric"),
    (r"(?P<side>>=|<=)\s*", "'>=' or '<='"),
    (r"(?P<limit>[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*", "a number"),
    (r"(?P<kind>[x%]?)\s*$", "'x', '%' or the end"),
)
EXAMPLE = 'as in "ap_small >= -0.5" (points), "latency_p50 <= 1.05x" or "tinydet_s:ap >= -2%"'
NEARLY = 1e-9  # differences of decimal fractions are not exact

GateVerdict = Literal["passed", "missed", "not evaluable"]


@dataclass(frozen=True)
class GateResult:
    """A gate at one row and side, or why it met nothing.

    Attributes:
        line: for people: the gate, what was found, the verdict.
        unjudged: not evaluable although the base has a number there.
    """

    gate: str
    verdict: GateVerdict
    line: str
    unjudged: bool = False


@dataclass(frozen=True)
class Gate:
    """A limit.

    Attributes:
        detector: whom it is for, "" for all.
        upper: "<=", not ">=".
        kind: what `limit` limits: "" the difference, of AP in points; "x" other / base;
            "%" the difference in percent of the base.
    """

    text: str
    detector: str
    metric: str
    upper: bool
    limit: float
    kind: Kind


def parse_gate(text: str) -> Gate:
    """Read a gate.

    Raises:
        UserError: it is not one; the place is marked.
    """
    found: dict[str, str] = {}
    place = 0
    for pattern, expected in PARTS:
        match = re.compile(pattern, re.IGNORECASE).match(text, place)
        if match is None:
            marked = f"{text[:place]}»{text[place:]}"
            raise UserError(f"expected {expected} at »", where=f"--gate '{marked}'", hint=EXAMPLE)
        found |= {key: value or "" for key, value in match.groupdict().items()}
        place = match.end()
    kinds: dict[str, Kind] = {"": "", "x": "x", "%": "%"}
    kind = kinds[found["kind"].lower()]
    upper, limit = found["side"] == "<=", float(found["limit"])
    if kind == "x" and limit <= 0:
        raise UserError(
            "a ratio is limited by a positive number", where=f"--gate '{text}'", hint=EXAMPLE
        )
    return Gate(text.strip(), found["detector"], found["metric"], upper, limit, kind)


def evaluate(
    gate: Gate,
    rows: Sequence["Row"],
    sides: Sequence[str],
    catalog: Catalog,
    shown: bool = True,
) -> Iterator[GateResult]:
    """The gate at every row of its metric, against every side but the base.

    Rows without a number share one result for each reason.

    Args:
        shown: whether the rows are in the table, whose notes say what is doubtful about them.
    """
    absent: dict[str, list[str]] = {}
    places = list(_places(gate, rows, sides))
    for row, number in places:
        side = sides[number]
        if row.differences[number - 1].verdict == "missing":
            lacking = sides[0] if math.isnan(row.values[0]) else side
            absent.setdefault(f"no number in {lacking}", []).append(row.detector or side)
        else:
            yield _judge(gate, row, number, side, catalog, shown)
    for why, names in absent.items():
        said = f"{', '.join(dict.fromkeys(names))}: not evaluable: {why}"
        yield _without_verdict(gate, said, why != f"no number in {sides[0]}")
    if not places:
        there = any(row.metric.name == gate.metric for row in rows)
        why = "there is no such row" if there else "no side has such a number"
        yield _without_verdict(gate, f"not evaluable: {why}", unjudged=False)


def _places(gate: Gate, rows: Sequence["Row"], sides: Sequence[str]) -> Iterator[tuple["Row", int]]:
    """Rows and sides that the gate is for."""
    for row in rows:
        if row.metric.name == gate.metric:
            for number, side in enumerate(sides[1:], 1):
                if _is_meant(gate, row, side):
                    yield row, number


def _without_verdict(gate: Gate, said: str, unjudged: bool) -> GateResult:
    return GateResult(gate.text, "not evaluable", f"gate {gate.text}: {said}", unjudged)


def _is_meant(gate: Gate, row: "Row", side: str) -> bool:
    """Where each side is one detector it is called "run:detector", or as the detector alone."""
    if not gate.detector or row.detector:
        return gate.detector in ("", row.detector)
    return side == gate.detector or side.endswith(f":{gate.detector}")


def _judge(
    gate: Gate, row: "Row", number: int, side: str, catalog: Catalog, shown: bool
) -> GateResult:
    change = row.differences[number - 1]
    where = f"{row.detector}, {side}" if row.detector else side
    found = _quantity(gate, row, change)
    if not change.compared or math.isnan(found):
        why = _why(change, catalog)
        return _without_verdict(gate, f"{where}: not evaluable: {why}", unjudged=True)
    beyond = found > gate.limit + NEARLY if gate.upper else found < gate.limit - NEARLY
    missed = beyond and (change.real or change.verdict == "unknown")
    verdict: GateVerdict = "missed" if missed else "passed"
    said = f"gate {gate.text}: {where}: {verdict}: {_show(gate, row, found)}"
    said += _interval(gate, row, change) + _noise(change, beyond)
    said += _doubts(row, number, catalog, shown)
    return GateResult(gate.text, verdict, said)


def _noise(change: Difference, beyond: bool) -> str:
    said = ", the noise is unknown" if change.verdict == "unknown" else ""
    if beyond and change.verdict == "noise":
        said = ", beyond the limit but inside the noise"
    if change.unlike:
        said += f", not measured alike ({change.unlike})"
    return said


def _doubts(row: "Row", side: int, catalog: Catalog, shown: bool) -> str:
    """Whether something speaks against the base's number or the side's; what, if no note does."""
    reasons = [*row.estimates[0].reasons, *row.estimates[side].reasons]
    found = [catalog.word(reason) for reason in catalog.gravest_first(reasons)]
    if not found:
        return ""
    return ", doubtful" if shown else f", doubtful ({first_of(list(dict.fromkeys(found)))})"


def first_of(reasons: Sequence[str]) -> str:
    """The first, which is the gravest, and how many more there are."""
    more = len(reasons) - 1
    return f"{reasons[0]} and {more} more reason{'s' * (more > 1)}" if more else reasons[0]


def _quantity(gate: Gate, row: "Row", change: Difference) -> float:
    if gate.kind == "x":
        return change.ratio
    if gate.kind == "%":
        return 100 * (change.ratio - 1)
    return change.value * row.metric.scale


def _interval(gate: Gate, row: "Row", change: Difference) -> str:
    if not change.has_interval:
        return ""
    base = row.values[0]
    bounds = [change.low, change.high]
    if gate.kind:
        bounds = [1 + bound / base for bound in bounds]
    if gate.kind == "%":
        bounds = [100 * (bound - 1) for bound in bounds]
    scale = 1.0 if gate.kind else row.metric.scale
    low, high = (f"{bound * scale:{_format(gate)}}" for bound in bounds)
    return f" [{low}, {high}]"


def _show(gate: Gate, row: "Row", found: float) -> str:
    points = row.metric.shown_unit == "%"
    unit = gate.kind or (" points" if points else f" {row.metric.shown_unit}".rstrip())
    return f"{found:{_format(gate)}}{unit}"


def _format(gate: Gate) -> str:
    return ".3f" if gate.kind == "x" else "+.2f"


def _why(change: Difference, catalog: Catalog) -> str:
    reasons = "; ".join(dict.fromkeys(catalog.word(reason) for reason in change.reasons))
    if change.verdict == "refused":
        return f"not measured alike ({change.unlike or reasons})"
    return f"invalid ({reasons})" if change.verdict == "invalid" else "the base is 0"


def unmet(results: Sequence[GateResult]) -> list[str]:
    """Gates that could be evaluated nowhere, or not everywhere that the base has a number.

    A detector that crashed has none, and must not pass for that.
    """
    met = {result.gate for result in results if result.verdict != "not evaluable"}
    met -= {result.gate for result in results if result.unjudged}
    return [gate for gate in dict.fromkeys(r.gate for r in results) if gate not in met]
