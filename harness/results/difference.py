"""Whether one number differs from another by more than its noise.

Made once, here, for terminal, page, `compare`, gates and history. How is the metric's to say:
scores by the paired bootstrap over images, percentiles of repeated measurements by their intervals
(and medians by a rank test), what is counted exactly by equality.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from harness.plugin.metrics import Finding
from harness.results.ap.paired import Paired, paired_difference
from harness.results.ap.types import Sampled
from harness.results.estimate import Estimate
from harness.results.protocol import Mismatch, mismatches, show_value
from harness.results.samples.medians import (
    SIGNIFICANT,
    SMALLEST_EFFECT,
    compare_latency,
    compare_percentiles,
    is_beyond,
)

Verdict = Literal[
    "better", "worse", "changed", "equal", "noise", "unknown", "refused", "invalid", "missing"
]  # fmt: skip
REAL: tuple[Verdict, ...] = ("better", "worse", "changed")
NOT_COMPARED: tuple[Verdict, ...] = ("refused", "invalid", "missing")
# (normal quantile of 97.5 % + that of 80 %) / that of 97.5 %: see `images_needed`
POWER = (1.959964 + 0.841621) / 1.959964
MOST_IMAGES = 1_000_000

MESSAGES = {
    "units_differ": "units differ: {base} against {other}",
    "seeds_overlap": "more than image noise, but the ranges of the seeds overlap",
    "few_images_for_interval": "too few images hold such objects for an interval",
    "images_differ": "evaluated on other images",
    "detections_unread": "the detections of {which} cannot be read",
    "no_samples": "no samples",
    "no_value_per_image": "it was not recorded image by image",
    "no_test": "no test is known of such a number",
    "not_positive": "a sample is not positive: the clock is wrong",
    "few_samples_for_interval": "too few samples for an interval",
    "percentile_unbounded": "too few samples to bound a p{percent:g}",
    "not_among_many": "significant on its own, but not among {comparisons} comparisons",
    "unlike_recipes": "trained by unlike recipes: {base} against {other}",
    "one_training": "one training each: another seed may differ",
    "one_training_of_one": "one training of one of them: another seed may differ",
    "one_process": "times of one process per side: repeated starts differ by more than the "
    "samples within one",
}


@dataclass(frozen=True)
class Difference:
    """How a number differs from a base.

    Attributes:
        value: other minus base, in the recorded unit; NaN where either is missing.
        ratio: other / base; NaN where base is 0 or either is missing.
        low, high: 95 % interval of `value`; NaN where the noise is unknown.
        p: two-sided, of no difference; NaN where it is unknown.
        chance: p beyond what the resamples can count, for corrections; NaN where there is none.
        verdict: "better", "worse" and "changed" (neither good nor bad) are outside the noise;
            "equal": exact numbers that are the same; "noise": inside it; "unknown": how much
            noise there is, is not known; "refused": not measured alike; "invalid": one of the
            numbers says nothing about its detector; "missing": no number.
        mismatches: conditions that differ; with a verdict other than "refused" they were allowed.
        reasons: of the verdict.
        caveats: what the interval leaves out.
        images_needed: on how many images a difference as large would probably be significant.
    """

    verdict: Verdict
    value: float = math.nan
    ratio: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    chance: float = math.nan
    mismatches: tuple[Mismatch, ...] = ()
    reasons: tuple[Finding, ...] = ()
    caveats: tuple[Finding, ...] = ()
    images_needed: int | None = None

    @property
    def real(self) -> bool:
        """Outside the noise."""
        return self.verdict in REAL

    @property
    def compared(self) -> bool:
        return self.verdict not in NOT_COMPARED

    @property
    def has_interval(self) -> bool:
        return self.low < self.high

    @property
    def unlike(self) -> str:
        """The mismatches in words, "" without any."""
        return "; ".join(map(str, self.mismatches))

    @property
    def p_is_limit(self) -> bool:
        """`p` is the smallest that so many resamples can show."""
        return self.chance < self.p


def find_difference(
    base: Estimate,
    other: Estimate,
    *,
    same_detector: bool,
    allow_mismatch: bool = False,
    smallest_effect: float = SMALLEST_EFFECT,
    meant: Sequence[str] = (),
) -> Difference:
    """Other minus base, two estimates of one metric.

    Args:
        same_detector: whether both are of a detector of one name.
        allow_mismatch: compare though they were not measured alike; the mismatches stay noted.
        smallest_effect: relative difference of times that is too small to matter.
        meant: conditions in which the two are meant to differ.
    """
    if not (base.is_there and other.is_there):
        return Difference("missing")
    if "invalid" in (base.level, other.level):
        reasons = [one.reasons for one in (base, other) if one.level == "invalid"]
        return Difference("invalid", reasons=tuple(r for each in reasons for r in each))
    spec = base.metric
    if spec.unit != other.metric.unit:
        told = {"base": spec.unit or "none", "other": other.metric.unit or "none"}
        return Difference("refused", reasons=(Finding("units_differ", params=told),))
    found = mismatches(spec, base.conditions, other.conditions, same_detector=same_detector)
    unlike = tuple(m for m in found if m.key not in meant)
    unlike += (*_mixed(base, "base"), *_mixed(other, "other"))
    if unlike and not allow_mismatch:
        return Difference("refused", mismatches=unlike)
    return replace(_compare(base, other, smallest_effect), mismatches=unlike)


def hold_together(found: Sequence[Difference]) -> list[Difference]:
    """Differences that were picked from the same data: those that stand among all of them.

    S. Holm, A simple sequentially rejective multiple test procedure (1979): the smallest p is
    multiplied by the number of comparisons, the next by one less, until one is above 5 %. What
    does not stand becomes "noise", and says so.
    """
    tested = sorted((one for one in found if not math.isnan(one.chance)), key=lambda d: d.chance)
    standing: set[int] = set()
    for place, one in enumerate(tested):
        if one.chance * (len(tested) - place) >= SIGNIFICANT:
            break
        standing.add(id(one))
    lost = Finding("not_among_many", "remark", {"comparisons": len(tested)})
    return [
        replace(one, verdict="noise", reasons=(lost,), caveats=())
        if one.real and not math.isnan(one.chance) and id(one) not in standing
        else one
        for one in found
    ]


def _mixed(estimate: Estimate, who: str) -> Iterator[Mismatch]:
    for found in estimate.mixed:
        yield replace(found, name=f"{found.name} of {who}'s seeds")


def _compare(base: Estimate, other: Estimate, smallest_effect: float) -> Difference:
    spec = base.metric
    if spec.interval == "exact":
        return _exact(base, other)
    if spec.interval == "bootstrap":
        return _paired(base, other)
    if spec.interval == "samples" and spec.percent is not None:
        if base.samples and other.samples:
            return _timed(base, other, spec.percent, smallest_effect)
        return _unknown(base, other, "no_samples")
    return _unknown(base, other, "no_test" if base.samples and other.samples else "no_samples")


def _exact(base: Estimate, other: Estimate) -> Difference:
    if math.isclose(base.value, other.value, rel_tol=1e-12):
        return _of_bounds("equal", base, base.value, base.value, base.value)
    verdict = direction(base, other.value > base.value)
    return _of_bounds(verdict, base, other.value, other.value, other.value)


def _paired(base: Estimate, other: Estimate) -> Difference:
    if not base.sampled or not other.sampled:
        if base.metric.scoring is None:
            return _unknown(base, other, "no_value_per_image")
        unread = [name for name, one in (("base", base), ("other", other)) if not one.sampled]
        which = unread[0] if len(unread) == 1 else "both sides"
        return _unknown(base, other, "detections_unread", which=which)
    if base.pairing != other.pairing:
        return _unknown(base, other, "images_differ")
    found = paired_difference(base.sampled, other.sampled)
    if math.isnan(found.low):
        return _unknown(base, other, "few_images_for_interval")
    if _same(base.sampled, other.sampled):
        return _of_bounds("equal", base, base.value, base.value, base.value)
    reasons: tuple[Finding, ...] = ()
    if (found.low > 0 or found.high < 0) and not found.outside:
        reasons = (Finding("seeds_overlap", "remark"),)
    images = max(one.sampled[0].images for one in (base, other))
    return Difference(
        direction(base, found.value > 0) if found.outside else "noise",
        found.value,
        _ratio(base.value, other.value),
        found.low,
        found.high,
        found.p,
        found.chance,
        reasons=reasons,
        caveats=(*_unlike_recipes(base, other), *_one_training(base, other)),
        images_needed=None if found.outside or reasons else _images_needed(found, images),
    )


def _same(base: Sequence[Sampled], other: Sequence[Sampled]) -> bool:
    """Whether no image tells two detectors apart, as of the same detections."""
    return len(base) == len(other) and all(
        np.array_equal(one.draws, two.draws, equal_nan=True)
        for one, two in zip(base, other, strict=True)
    )


def _images_needed(found: Paired, images: int) -> int | None:
    """Images on which a difference as large as this one would be found in 4 of 5 tries.

    The half-width of the interval shrinks with the root of the number of images; a test at 5 %
    with a power of 80 % needs it at 1 / `POWER` of the difference (J. Cohen, Statistical Power
    Analysis for the Behavioral Sciences, 1988, chapter 2).

    Returns:
        two digits of the number; None where it is beyond all reason.
    """
    half = (found.high - found.low) / 2
    if found.value == 0 or math.isnan(half):
        return None
    needed = images * (POWER * half / found.value) ** 2
    if not images < needed <= MOST_IMAGES:
        return None
    return math.ceil(round(needed, 1 - math.floor(math.log10(needed))))


def _unlike_recipes(base: Estimate, other: Estimate) -> tuple[Finding, ...]:
    """Not a mismatch between two detectors, but their parts alone do not make the difference."""
    recipes = [show_value("recipe", one.conditions.get("recipe")) for one in (base, other)]
    if recipes[0] == recipes[1]:
        return ()
    told = dict(zip(("base", "other"), recipes, strict=True))
    return (Finding("unlike_recipes", "remark", told),)


def _one_training(base: Estimate, other: Estimate) -> tuple[Finding, ...]:
    seeds = base.count, other.count
    if min(seeds) > 1:
        return ()
    return (Finding("one_training" if max(seeds) == 1 else "one_training_of_one", "remark"),)


def _timed(base: Estimate, other: Estimate, percent: float, smallest_effect: float) -> Difference:
    if min(*base.samples, *other.samples) <= 0:
        return _unknown(base, other, "not_positive")
    if percent != 50:
        return _percentiles(base, other, percent, smallest_effect)
    found = compare_latency(base.samples, other.samples, smallest_effect)
    if math.isnan(found.low):
        return _unknown(base, other, "few_samples_for_interval")
    pooled = (found.ratio, found.low, found.high)
    return _scaled(base, other, pooled, smallest_effect, found.outside, found.p)


def _percentiles(
    base: Estimate, other: Estimate, percent: float, smallest_effect: float
) -> Difference:
    """As medians are compared, on the interval alone; there is no rank test of a p90."""
    ratio, low, high = compare_percentiles(base.samples, other.samples, percent)
    if math.isnan(low):
        return _unknown(base, other, "percentile_unbounded", percent=percent)
    outside = is_beyond(low, high, smallest_effect)
    return _scaled(base, other, (ratio, low, high), smallest_effect, outside)


def _scaled(
    base: Estimate,
    other: Estimate,
    pooled: tuple[float, float, float],
    smallest_effect: float,
    outside: bool,
    p: float = math.nan,
) -> Difference:
    """Around the ratio of the values shown, which are means over seeds of each seed's percentile.

    The interval is that of all seeds' samples taken together, moved onto that ratio by a factor,
    which is 1 for a single seed. A difference is real only if both say so, and the same way.

    Args:
        pooled: ratio of the percentiles of all samples, and its interval.
        outside: whether those are outside the noise.
    """
    shown = other.value / base.value
    factor = shown / pooled[0]
    low, high = factor * pooled[1], factor * pooled[2]
    agreed = (shown > 1) == (pooled[0] > 1) and is_beyond(low, high, smallest_effect)
    verdict = direction(base, shown > 1) if outside and agreed else "noise"
    caveats = (Finding("one_process", "remark"),) if 1 in (base.count, other.count) else ()
    made = _of_bounds(verdict, base, other.value, base.value * low, base.value * high, p)
    return replace(made, caveats=caveats)


def _unknown(base: Estimate, other: Estimate, code: str, **params: object) -> Difference:
    made = _of_bounds("unknown", base, other.value, math.nan, math.nan)
    return replace(made, reasons=(Finding(code, "remark", params),))


def _of_bounds(
    verdict: Verdict,
    base: Estimate,
    other: float,
    low: float,
    high: float,
    p: float = math.nan,
) -> Difference:
    """Of the other's value and the bounds that it would have with the base held fast."""
    change, ratio = other - base.value, _ratio(base.value, other)
    return Difference(verdict, change, ratio, low - base.value, high - base.value, p)


def _ratio(base: float, other: float) -> float:
    return other / base if base else math.nan


def direction(estimate: Estimate, higher: bool) -> Verdict:
    """What it means that the other number is higher than this one, or lower."""
    better = estimate.metric.higher_is_better
    if better is None:
        return "changed"
    return "better" if higher == better else "worse"
