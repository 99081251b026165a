"""The suite's own gates, evaluated when a run ends."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from harness.errors import ExitCode, UserError
from harness.manifest import schema
from harness.results.comparison import judge_gates
from harness.results.gates import Gate, GateResult, Kind, unmet
from harness.results.run import Run
from harness.results.sides import Side, read_side, side_of, split_detector

KINDS: dict[str, Kind] = {"difference": "", "ratio": "x", "percent": "%"}


@dataclass(frozen=True)
class SuiteGate:
    """A gate of the suite and what came of it, one result per detector."""

    asked: schema.GateSpec
    results: tuple[GateResult, ...]

    @property
    def verdict(self) -> Literal["passed", "missed", "not evaluable"]:
        if any(result.verdict == "missed" for result in self.results):
            return "missed"
        return "not evaluable" if unmet(self.results) else "passed"

    def to_json(self) -> dict[str, Any]:
        """For plan.json: the gate as the manifest has it, with what came of it."""
        told = [asdict(result) for result in self.results]
        return {**self.asked.model_dump(), "verdict": self.verdict, "results": told}


def judge_suite(gates: Sequence[schema.GateSpec], run: Run) -> tuple[SuiteGate, ...]:
    """Evaluate each gate; one that cannot be is a result, too, and says why."""
    side = side_of(run)
    return tuple(SuiteGate(gate, tuple(_judge(gate, run, side))) for gate in gates)


def missing_bases(suite: schema.Suite) -> Iterator[str]:
    """Gates against a path at which there is nothing yet: worth a look before a long run."""
    for gate in suite.gates:
        path, _ = split_detector(gate.against)
        if gate.against not in suite.detectors and not path.exists():
            yield f"gate {to_gate(gate).text}: its base does not exist yet"


def exit_code(judged: Sequence[SuiteGate]) -> ExitCode:
    """3 if a gate was missed; 4 if one that is not optional could not be evaluated; else 0."""
    if any(gate.verdict == "missed" for gate in judged):
        return ExitCode.GATE_MISSED
    if any(gate.verdict == "not evaluable" and not gate.asked.optional for gate in judged):
        return ExitCode.NOTHING_TO_COMPARE
    return ExitCode.OK


def to_gate(asked: schema.GateSpec) -> Gate:
    """The gate as `harness compare --gate` knows it, with a text for people."""
    sign, kind = (">=" if asked.at_most is None else "<="), KINDS[asked.of]
    start = f"{asked.detector}:" if asked.detector else ""
    text = f"{start}{asked.metric} {sign} {asked.limit:g}{kind} against {asked.against}"
    upper = asked.at_most is not None
    return Gate(text, asked.detector or "", asked.metric, upper, asked.limit, kind)


def _judge(asked: schema.GateSpec, run: Run, side: Side) -> Iterator[GateResult]:
    gate = to_gate(asked)
    try:
        sides = list(_sides(asked, run, side))
        yield from judge_gates(sides, [gate])
    except UserError as error:
        line = f"gate {gate.text}: not evaluable: {error}"
        yield GateResult(gate.text, "not evaluable", line, unjudged=True)


def _sides(asked: schema.GateSpec, run: Run, side: Side) -> Iterator[Side]:
    """The base, then the run: whole against a whole run, or as one side per detector."""
    if asked.against in run.detectors:
        base, picked = side, asked.against
    else:
        path, of_path = split_detector(asked.against)
        base, picked = replace(read_side(path), name=str(path)), of_path or ""
        if not picked:
            yield base
            yield side
            return
    yield replace(base, picked=picked, name=asked.against)
    for name in [asked.detector] if asked.detector else run.detectors:
        if base is not side or name != picked:
            yield replace(side, picked=name, name=name)
