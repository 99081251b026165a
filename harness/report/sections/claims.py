"""Published claims against what was measured here."""

from markupsafe import Markup

from harness.report.format import listing, number
from harness.report.page import show
from harness.results.claims import JudgedClaim, judge_claims
from harness.results.run import Run

LOOKS = {"reproduced": "same", "not reproduced": "other"}


def build(run: Run) -> Markup | None:
    """The claims on the run's detectors that compare with what was measured; a line on others."""
    judged = [one for one in judge_claims(run) if one.claim.detector in run.detectors]
    if not judged:
        return None
    compared = [one for one in judged if one.verdict != "not comparable"]
    return show(
        "claims.html",
        run,
        claims=compared,
        rest=_rest([one for one in judged if one not in compared]),
        published=published,
        looks=LOOKS,
    )


def published(one: JudgedClaim) -> str:
    """As it was published, with its unit; a score as 0 to 100."""
    claim = one.claim
    if claim.unit == "AP":
        return f"{number(100 * claim.value, max(1, (claim.decimals or 3) - 2))} %"
    form = ",.6g" if claim.decimals is None else f",.{claim.decimals}f"
    return f"{claim.value:{form}} {claim.unit}".strip()


def _rest(judged: list[JudgedClaim]) -> str:
    """How many claims do not compare, and why, each reason once."""
    reasons: dict[str, list[str]] = {}
    for one in judged:
        reasons.setdefault(one.reason, []).append(f"{one.claim.detector} {one.claim.metric}")
    told = [f"{len(who)}: {why} ({listing(who, most=3)})" for why, who in reasons.items()]
    return f"{len(judged)} published figures are not comparable. {'; '.join(told)}." if told else ""
