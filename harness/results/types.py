"""What a comparison says. Plain frozen values, the same for terminal, files and page."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.results.ap.types import CellAnalysis
from harness.results.protocol import Mismatch
from harness.results.validity_rules import Level

Verdict = Literal[
    "better", "worse", "changed", "equal", "noise", "unknown", "refused", "invalid", "missing"
]  # fmt: skip
REAL: tuple[Verdict, ...] = ("better", "worse", "changed")
NOT_COMPARED: tuple[Verdict, ...] = ("refused", "invalid", "missing")
# Of a stage, not of a detector: measured in each anew, or saying whether a mode was right.
OF_STAGES = ("cell_seconds", "mode_agreement", "ap_check")


def name_subject(detector: str, scope: str) -> str | None:
    """What a number is of: a detector, or DETECTOR@MODE where it ran in a further mode.

    None for a part of it: a class, a role.
    """
    kind, _, mode = scope.partition("/")
    if kind != "mode" or "/" in mode:
        return None if scope else detector
    return f"{detector}@{mode}"


@dataclass(frozen=True, eq=False)
class Figure:
    """One metric of one detector on one side, of the whole (no class, no role).

    Attributes:
        seeds: value under each seed; NaN where nothing could be measured.
        samples: raw samples behind it, of all seeds one after another; empty where unknown.
        conditions: as recorded with the first seed.
        mixed: on what the other seeds' protocols differ from the first's.
        analyses: of the detections, one per seed; empty for what is no AP or AR, and where the
            detections could not be read again.
        level: how far its numbers can be believed (`harness.results.validity`), of the seeds'
            the worst; "valid" where there are no records to judge.
        doubts: why it is not valid.
    """

    metric: str
    unit: str
    higher_is_better: bool | None
    seeds: tuple[float, ...]
    samples: tuple[float, ...] = ()
    conditions: Mapping[str, Any] = field(default_factory=dict)
    analyses: tuple[CellAnalysis, ...] = ()
    level: Level = "valid"
    doubts: tuple[str, ...] = ()
    mixed: tuple[Mismatch, ...] = ()

    @property
    def value(self) -> float:
        """Mean over the seeds that have one, NaN if none has."""
        there = [value for value in self.seeds if not math.isnan(value)]
        return sum(there) / len(there) if there else math.nan


@dataclass(frozen=True, eq=False)
class Side:
    """A run or file that is compared.

    Attributes:
        name: short and different from those of the other sides.
        figures: detector (or benchmark) -> metric -> figure.
        picked: the one detector that was asked for, None for all.
        columns: metrics that its manifest puts into the main table.
        notes: why something is not known, one line each.
        time: seconds since 1970 of the first record, NaN where unknown.
        commit: of the harness that measured, "" where unknown, "+" behind it if changed since.
    """

    name: str
    path: str
    figures: Mapping[str, Mapping[str, Figure]]
    picked: str | None = None
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    time: float = math.nan
    commit: str = ""


@dataclass(frozen=True)
class Change:
    """How a side differs from the base in one row.

    Attributes:
        value: other minus base, in the unit of the row (AP 0..1); NaN where either is missing.
        ratio: other / base; NaN where base is 0 or either is missing.
        low, high: 95 % interval of `value`; NaN where the noise is unknown.
        p: two-sided, of no difference; NaN where it is unknown.
        p_is_limit: `p` is the smallest that so many resamples can show.
        verdict: "better", "worse" and "changed" (neither good nor bad) are outside the noise;
            "equal": exact numbers that are the same; "noise": inside it; "unknown": how much
            noise there is, is not known; "refused": not measured alike; "invalid": one of the
            numbers says nothing of its detector; "missing": no number.
        mismatches: conditions that differ; with a verdict other than "refused" they were allowed.
        note: what a reader should know of this very difference, or "".
    """

    verdict: Verdict
    value: float = math.nan
    ratio: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    mismatches: tuple[Mismatch, ...] = ()
    note: str = ""
    p_is_limit: bool = False

    @property
    def real(self) -> bool:
        """Outside the noise."""
        return self.verdict in REAL


@dataclass(frozen=True)
class Row:
    """One metric of a detector, over all sides.

    Attributes:
        detector: "" where each side is another detector.
        values: one a side, the base first; mean over seeds; NaN where there is none.
        seeds: how many seeds each value rests on.
        changes: one a side but the base.
        best: sides with the best value among those that may be compared; empty if all are equal.
        rivals: sides whose difference to the best is not outside the noise.
        levels, doubts: of each side's figure; empty where nothing is in doubt.
    """

    detector: str
    metric: str
    unit: str
    higher_is_better: bool | None
    values: tuple[float, ...]
    seeds: tuple[int, ...]
    changes: tuple[Change, ...]
    best: tuple[int, ...]
    rivals: tuple[int, ...] = ()
    levels: tuple[Level, ...] = ()
    doubts: tuple[tuple[str, ...], ...] = ()


GateVerdict = Literal["passed", "missed", "not evaluable"]


@dataclass(frozen=True)
class GateResult:
    """A gate at one row and side, or (row None) why it met nothing.

    Attributes:
        line: for people: the gate, what was found, the verdict.
        unjudged: not evaluable although the base has a number there.
    """

    gate: str
    verdict: GateVerdict
    line: str
    noise_known: bool = True
    unjudged: bool = False


@dataclass(frozen=True)
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
    """

    sides: tuple[str, ...]
    paths: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    gates: tuple[GateResult, ...] = ()
    lone: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def comparable(self) -> bool:
        """Whether anything could be compared at all."""
        return any(
            change.verdict not in NOT_COMPARED for row in self.rows for change in row.changes
        )

    @property
    def common_rows(self) -> tuple[Row, ...]:
        """Rows without those of detectors that have nobody to be compared with."""
        lone = {detector for detector, _ in self.lone}
        return tuple(row for row in self.rows if row.detector not in lone)


def shown_scale(unit: str) -> float:
    """AP is kept as 0..1 and spoken of in points."""
    return 100.0 if unit == "AP" else 1.0
