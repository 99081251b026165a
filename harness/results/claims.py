"""Published figures against what was measured here.

A verdict is computed from what a claim states of itself (`PublishedConditions`) and what the
records state; what cannot be established from them is "not comparable", with the reason. Nothing
is concluded from names: not from that of a split, nor from that of a detector's weights.

An AP is reproduced when the published figure lies within the measured interval over images. On
the very images of the claim that is lenient by what image noise both share, and the spread over
seeds, which the interval does not hold, stands beside it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import pandas as pd
from pydantic import ValidationError

from harness.errors import UserError
from harness.manifest.schema import Published
from harness.results.ap.paired import over_seeds
from harness.results.ap.types import CellAnalysis
from harness.results.claim_conditions import conditions_here, find_obstacle
from harness.results.families import needs_data

Outcome = Literal["reproduced", "not reproduced", "not comparable"]
Analyses = Mapping[tuple[str, int], CellAnalysis]
Interval = tuple[float, float]
NO_INTERVAL: Interval = (math.nan, math.nan)
AP_DECIMALS = 3  # of AP as 0..1: papers give tenths of a percent


@dataclass(frozen=True)
class ClaimVerdict:
    """A published figure and what became of it.

    Attributes:
        claim: as published.
        expected: its value in the unit of the measurement, NaN where that cannot be told.
        measured: mean over seeds, None where nothing was measured here.
        unit: of `expected` and `measured`.
        low, high: 95 % interval of the measured value over images, NaN where there is none.
        seeds: how many the measured value rests on.
        deviation: standard deviation of the measured value over seeds, NaN for a single one.
        reason: of the verdict, in words.
    """

    claim: Published
    expected: float
    measured: float | None
    unit: str
    low: float
    high: float
    seeds: int
    deviation: float
    verdict: Outcome
    reason: str


def judge_claims(
    plan: Mapping[str, Any],
    frame: pd.DataFrame,
    analyses: Analyses,
) -> tuple[ClaimVerdict, ...]:
    """Judge every claim of a run's suite.

    Args:
        plan: plan.json of the run; one without `published` has no claims.
        frame: `harness.records.frame.to_frame` of its records.
        analyses: (detector, seed) -> analysis, for the intervals of AP.

    Raises:
        UserError: the plan's claims are not what the manifest's grammar allows.
    """
    return tuple(_judge(claim, plan, frame, analyses) for claim in _claims(plan))


def _claims(plan: Mapping[str, Any]) -> list[Published]:
    try:
        return [Published.model_validate(entry) for entry in plan.get("published", ())]
    except ValidationError as error:
        raise UserError(f"has no usable 'published' ({error})", where="plan.json") from error


def _judge(
    claim: Published, plan: Mapping[str, Any], frame: pd.DataFrame, analyses: Analyses
) -> ClaimVerdict:
    whole = frame[(frame["detector"] == claim.detector) & (frame["scope"] == "")]
    rows = whole[(whole["metric"] == claim.metric) & whole["value"].notna()]
    if rows.empty:
        nothing = (math.nan, None, "", *NO_INTERVAL, 0, math.nan)
        return ClaimVerdict(claim, *nothing, "not comparable", "not measured here")
    unit, measured = str(rows["unit"].iloc[0]), float(rows["value"].mean())
    factor = _factor(claim, unit)
    expected = claim.value * factor
    interval = _interval(claim, [int(seed) for seed in rows["seed"]], analyses)
    verdict: Outcome = "not comparable"
    reason = _obstacle(claim, plan, whole, rows)
    if math.isnan(factor):
        reason = f"other unit: {claim.unit} published, {unit} here"
    if not reason:
        margin = margin_of(claim) * factor
        verdict, reason = _decide(claim, expected, measured, interval, margin)
    return ClaimVerdict(
        claim,
        expected,
        measured,
        unit,
        *interval,
        seeds=len(rows),
        deviation=float(rows["value"].std()),
        verdict=verdict,
        reason=reason,
    )


def _factor(claim: Published, unit: str) -> float:
    """From the published unit to the measured one; NaN where the claim does not say."""
    if claim.factor is not None:
        return claim.factor
    return 1.0 if claim.unit == unit else math.nan


def _obstacle(
    claim: Published, plan: Mapping[str, Any], whole: pd.DataFrame, rows: pd.DataFrame
) -> str:
    """Why the claim does not compare with some seed's measurement, "" when it does with all."""
    for row in rows.itertuples():
        if needs_data(claim.metric) and not row.weights:
            return "the weights are random: this detector was not trained"
        if obstacle := find_obstacle(claim, conditions_here(claim, plan, whole, row)):
            return obstacle
    return ""


def margin_of(claim: Published) -> float:
    """How far from the published value still counts as it: half its last digit or its tolerance."""
    exponent = Decimal(repr(claim.value)).normalize().as_tuple().exponent
    decimals = max(0, -int(exponent))
    if claim.unit == "AP":
        decimals = max(decimals, AP_DECIMALS)
    if claim.decimals is not None:
        decimals = claim.decimals
    return max(0.5 * 10.0**-decimals, claim.tolerance) * (1 + 1e-9)


def _decide(
    claim: Published, expected: float, measured: float, interval: Interval, margin: float
) -> tuple[Outcome, str]:
    if abs(measured - expected) <= margin:
        stated = "the stated tolerance" if claim.tolerance else "rounding"
        return "reproduced", f"equal within {stated}"
    if not needs_data(claim.metric):
        return "not reproduced", f"{measured - expected:+.4g} from the published figure"
    low, high = interval
    if math.isnan(low) or math.isnan(high):
        return "not comparable", "the measured value has no interval"
    if low - margin <= expected <= high + margin:
        return "reproduced", "the published figure lies within the interval"
    side = "above" if expected > high else "below"
    return "not reproduced", f"the published figure lies {side} the interval"


def _interval(claim: Published, seeds: Sequence[int], analyses: Analyses) -> Interval:
    """Over images, of the mean over seeds; all of them must be analysed on the same images."""
    found = [analyses[place] for seed in seeds if (place := (claim.detector, seed)) in analyses]
    estimates = [a.metrics[claim.metric] for a in found if claim.metric in a.metrics]
    if len(estimates) != len(seeds) or len({a.pairing for a in found}) > 1:
        return NO_INTERVAL
    if len(estimates) == 1:
        return estimates[0].low, estimates[0].high
    mean = over_seeds(found, claim.metric)
    return mean.low, mean.high
