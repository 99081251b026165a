"""Whether a measurement can be believed: the checks that its metric names, and those of all."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.plan.cells import name_stage
from harness.plugin.declarations import load_target
from harness.plugin.metrics import Finding, MetricSpec
from harness.records.record import Record

Validity = Literal["valid", "doubtful", "invalid"]
LEVELS: tuple[Validity, ...] = ("valid", "doubtful", "invalid")
MESSAGES: Mapping[str, str] = {
    "failed": "{stage} {status}: {error}",
    "no_objects": "the ground truth has no such object",
    "no_number": "it could not be measured",
    "seed_without_number": "seed {seed} has no number",
    "below_floor": "it finds next to nothing: {score} {value} {unit}",
    "not_measured": "not measured",
    "check_failed": "a check of it could not be made ({check}: {error})",
}


@dataclass(frozen=True)
class Judgement:
    """How far a measurement can be believed.

    Attributes:
        level: "invalid": it says nothing about the detector; "doubtful": it may be off by more
            than its interval tells.
        reasons: why not, the gravest first; empty when valid.
        remarks: what a reader should know and what casts no doubt.
    """

    level: Validity = "valid"
    reasons: tuple[Finding, ...] = ()
    remarks: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> "Judgement":
        """Of each code the gravest, once; each check that could not be made counts."""
        found: dict[tuple[str, object], Finding] = {}
        for one in findings:
            key = one.code, one.params.get("check")
            if key not in found or one.gravity > found[key].gravity:
                found[key] = one
        doubts = sorted((f for f in found.values() if f.gravity), key=lambda f: -f.gravity)
        remarks = tuple(f for f in found.values() if not f.gravity)
        return cls(LEVELS[doubts[0].gravity if doubts else 0], tuple(doubts), remarks)


def judge(record: Record, spec: MetricSpec, samples: Sequence[float] = ()) -> Judgement:
    """Judge one measurement, or how a cell ended.

    Args:
        samples: raw samples behind it (`samples_behind`). Without them the checks that look at
            samples find nothing.
    """
    return Judgement.of(
        [*_ended(record), *record.warnings, *_checked(record, spec, record.samples or samples)]
    )


def samples_behind(
    record: Record, spec: MetricSpec, records: Iterable[Record]
) -> tuple[float, ...]:
    """Raw samples that a number rests on; they may stand on the record of another metric.

    Args:
        records: among them that other one, of the same cell.
    """
    if record.samples or not spec.samples_of:
        return record.samples
    behind = (r for r in records if r.metric == spec.samples_of and r.place == record.place)
    return next((other.samples for other in behind), ())


def _ended(record: Record) -> Iterator[Finding]:
    if record.status != "ok":
        stage = name_stage(record.stage, record.mode)
        told = {"stage": stage, "status": record.status, "error": record.error}
        yield Finding("failed", "invalid", told)
    elif record.kind == "measurement" and not math.isfinite(record.value):
        without = record.conditions.get("boxes") == 0
        yield Finding("no_objects" if without else "no_number", "invalid")


def _checked(record: Record, spec: MetricSpec, samples: Sequence[float]) -> Iterator[Finding]:
    """What the metric's checks find; one that cannot be made says so, and harms no other."""
    for target in spec.checks:
        try:
            for found in load_target(target)(record, tuple(samples)):
                if not isinstance(found, Finding):
                    raise TypeError(f"{found!r} is not a Finding")
                yield found
        except Exception as error:  # whatever a stranger's rule does
            told = {"check": target, "error": f"{type(error).__name__}: {error}"}
            yield Finding("check_failed", "remark", told)
