"""Published claims against what was measured here."""

import math
from dataclasses import dataclass

from harness.report.cells import title_of
from harness.results.claims import ClaimVerdict, judge_claims
from harness.results.run import Run


@dataclass(frozen=True)
class Claim:
    """A claim as shown.

    Attributes:
        published: with its unit, as published.
        measured: with its unit; "" unless it was measured here.
        mark: "same", "other" or "open", for the look of the verdict.
    """

    detector: str
    metric: str
    published: str
    split: str
    source: str
    note: str
    measured: str
    interval: str
    verdict: str
    reason: str
    mark: str


MARKS = {"reproduced": "same", "not reproduced": "other", "not comparable": "open"}


def list_claims(run: Run) -> tuple[Claim, ...]:
    """Every claim of the suite, in its order."""
    return tuple(_shown(verdict) for verdict in judge_claims(run.plan, run.frame, run.analyses))


def _shown(judged: ClaimVerdict) -> Claim:
    claim = judged.claim
    measured = "" if judged.measured is None else show_amount(judged.measured, judged.unit)
    has_interval = judged.measured is not None and not math.isnan(judged.low + judged.high)
    low, high = show_amount(judged.low, judged.unit), show_amount(judged.high, judged.unit)
    return Claim(
        detector=claim.detector,
        metric=title_of(claim.metric),
        published=show_amount(claim.value, claim.unit, claim.decimals),
        split=claim.split,
        source=claim.source,
        note=claim.note,
        measured=measured,
        interval=f"[{low.split()[0]}, {high.split()[0]}]" if has_interval else "",
        verdict=judged.verdict,
        reason=judged.reason,
        mark=MARKS[judged.verdict],
    )


def show_amount(value: float, unit: str, decimals: int | None = None) -> str:
    """A value with its unit; AP as 0 to 100."""
    if unit == "AP":
        return f"{value * 100:.1f} %"
    digits = f"{value:,.{decimals}f}" if decimals is not None else f"{value:,.6g}"
    return f"{digits} {unit}".strip()
