"""Published figures against what was measured here.

A verdict is computed from what a claim states of itself (`PublishedConditions`) and what the
records state; what cannot be established from them is "not comparable", with the reason. Nothing
is concluded from names: not from that of a split, nor from that of a detector's weights.

A score is reproduced when the published figure lies within the measured interval over images. On
the very images of the claim that is lenient by what image noise both share, and the spread over
seeds, which the interval does not hold, is shown with it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pydantic import ValidationError

from harness.data.scaling import describe_input
from harness.errors import UserError
from harness.manifest.schema import Published
from harness.plugin.metrics import MetricSpec
from harness.records import layout
from harness.records.record import Record
from harness.results.ap.boxes import MAX_DETECTIONS
from harness.results.estimate import Estimate
from harness.results.protocol import in_words, show_value
from harness.results.run import Run

Outcome = Literal["reproduced", "not reproduced", "not comparable"]
Conditions = Mapping[str, Any]
SCORE_DECIMALS = 3  # of a score as 0..1: papers give tenths of a percent
DATA = ("annotations_sha256", "images", "boxes", "classes")
WORDS = {
    "annotations_sha256": "annotation file",
    "images": "number of images",
    "boxes": "number of boxes",
    "classes": "number of classes",
    "input": "input size",
    "proposals": "number of proposals",
}


@dataclass(frozen=True, eq=False)
class JudgedClaim:
    """A published figure and what became of it.

    Attributes:
        claim: as published.
        measured: what was measured here; without a value if nothing was.
        expected: the published value in the unit of the measurement, NaN where that is unknown.
        reason: of the verdict, in words.
    """

    claim: Published
    measured: Estimate
    expected: float
    verdict: Outcome
    reason: str


def judge_claims(run: Run) -> tuple[JudgedClaim, ...]:
    """Judge every claim of a run's suite; one without `published` has none.

    Raises:
        UserError: the plan's claims are not what the manifest's grammar allows.
    """
    try:
        claims = [Published.model_validate(entry) for entry in run.plan.get("published", ())]
    except ValidationError as error:
        raise UserError(f"has no usable 'published' ({error})", where=layout.PLAN) from error
    return tuple(_judge(claim, run) for claim in claims)


def _judge(claim: Published, run: Run) -> JudgedClaim:
    measured = run.estimate(claim.detector, claim.metric)
    if not measured.is_there:
        return JudgedClaim(claim, measured, math.nan, "not comparable", "not measured here")
    spec = measured.metric
    factor = factor_of(claim, spec)
    expected = claim.value * factor
    if math.isnan(factor):
        reason = f"other unit: {claim.unit} published, {spec.unit} here"
    else:
        reason = _obstacle(claim, run, spec)
    if reason:
        return JudgedClaim(claim, measured, expected, "not comparable", reason)
    verdict, reason = _decide(claim, expected, measured, margin_of(claim) * factor)
    return JudgedClaim(claim, measured, expected, verdict, reason)


def factor_of(claim: Published, spec: MetricSpec) -> float:
    """From the published unit to the measured one; NaN where the claim does not say."""
    if claim.factor is not None:
        return claim.factor
    return 1.0 if claim.unit == spec.unit else math.nan


def margin_of(claim: Published) -> float:
    """How far from the published value still counts as it: half its last digit or its tolerance."""
    exponent = Decimal(repr(claim.value)).normalize().as_tuple().exponent
    decimals = max(0, -int(exponent))
    if claim.unit == "AP":
        decimals = max(decimals, SCORE_DECIMALS)
    if claim.decimals is not None:
        decimals = claim.decimals
    return max(0.5 * 10.0**-decimals, claim.tolerance) * (1 + 1e-9)


def _decide(
    claim: Published, expected: float, measured: Estimate, margin: float
) -> tuple[Outcome, str]:
    value = measured.value
    if abs(value - expected) <= margin:
        stated = "the stated tolerance" if claim.tolerance else "rounding"
        return "reproduced", f"equal within {stated}"
    if measured.metric.kind != "score":
        return "not reproduced", f"{value - expected:+.4g} from the published figure"
    if math.isnan(measured.low):
        return "not comparable", "the measured value has no interval"
    if measured.low - margin <= expected <= measured.high + margin:
        return "reproduced", "the published figure lies within the interval"
    side = "above" if expected > measured.high else "below"
    return "not reproduced", f"the published figure lies {side} the interval"


def _obstacle(claim: Published, run: Run, spec: MetricSpec) -> str:
    """Why the claim does not compare with some seed's measurement, "" when it does with all."""
    stated = claim.conditions.model_dump(exclude_none=True)
    for record in run.measured:
        of = record.detector, record.metric, record.scope
        if of != (claim.detector, claim.metric, "") or math.isnan(record.value):
            continue
        if spec.kind == "score" and not record.weights:
            return "the weights are random: this detector was not trained"
        here = _conditions_here(run, record, spec)
        obstacle = (
            _difference(spec, stated, here)
            or _unidentified(spec, stated, here)
            or _missing(spec, stated, here)
        )
        if obstacle:
            return obstacle
    return ""


def _conditions_here(run: Run, record: Record, spec: MetricSpec) -> Conditions:
    """A measurement's conditions in the words of a claim's."""
    here = {"classes": len(run.plan["classes"]), **record.conditions}
    resize = here.get("input")
    # a cost was counted for one image, whatever sizes the detector takes
    here["input"] = here.get("input_size") or (describe_input(resize) if resize else None)
    if spec.kind == "score":
        here["boxes"] = _boxes(run, record)
    return {key: value for key, value in here.items() if value is not None}


def _boxes(run: Run, record: Record) -> int | None:
    """Boxes of all sizes; a score of small objects counts only its own."""
    for other in run.measured:
        scoring = run.spec(other.metric).scoring
        of = other.detector, other.seed, other.scope
        if scoring and scoring.area == "all" and of == (record.detector, record.seed, ""):
            return other.conditions.get("boxes")
    return None


def _difference(spec: MetricSpec, stated: Conditions, here: Conditions) -> str:
    """The first condition on which both speak and disagree."""
    for key, value in stated.items():
        if key in here and here[key] != value:
            kind = _called(key)
            if spec.kind == "score" and key in DATA:
                kind = f"{'data' if key == 'classes' else 'data or split'} ({kind})"
            return f"other {kind}: {_show(key, here[key])} here, {_show(key, value)} published"
    return ""


def _unidentified(spec: MetricSpec, stated: Conditions, here: Conditions) -> str:
    """Of a score: what keeps its data from being the same."""
    if spec.kind != "score":
        return ""
    limit = here.get("max_detections", MAX_DETECTIONS)
    if limit != MAX_DETECTIONS:
        return f"other number of detections per image: {limit} here, {MAX_DETECTIONS} in COCO"
    if "annotations_sha256" in stated or all(key in stated for key in DATA[1:]):
        return ""
    return "the claim does not say what identifies its data"


def _missing(spec: MetricSpec, stated: Conditions, here: Conditions) -> str:
    """What either side would have to say and does not."""
    needed = [*spec.claims, *(["proposals"] if "proposals" in here else [])]
    for key in needed:
        if key not in stated:
            return f"the claim does not say its {_called(key)}"
    for key in stated:
        if key not in here:
            return f"the measurement does not say its {_called(key)}"
    return "" if stated else "the claim does not say what it holds for"


def _called(key: str) -> str:
    return WORDS.get(key) or in_words(key)


def _show(key: str, value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else show_value(key, value)
