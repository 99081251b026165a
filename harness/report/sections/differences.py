"""Is one detector better than another? The paired difference in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from harness.report.sections.measured import show_signed
from harness.results.ap.paired import Difference, p_beyond, paired_difference
from harness.results.run import Run

POINTS = 100.0  # AP is kept as 0..1 and told in points
# (normal quantile of 97.5 % + that of 80 %) / that of 97.5 %: see `images_needed`
POWER = (1.959964 + 0.841621) / 1.959964
MOST_IMAGES = 1_000_000
SIGNIFICANT = 0.05
Sign = Literal["better", "worse", "noise", "unknown"]


@dataclass(frozen=True)
class Gap:
    """By how much one detector is ahead of another, in points of AP.

    Attributes:
        sign: "noise" where the difference may be chance, "unknown" without intervals.
        shown: "+2.1", "–" where there is no number.
        interval: "[1.2, 3.0]", "" where there is none.
        p: "0.003", "" where there is none.
        verdict: one plain sentence without the detectors' names.
        value, low, high: in points, NaN where there is none.
        chance: p as a number, beyond what the resamples can count; NaN where there is none.
        caveat: what the interval leaves out, "" where both sides have several seeds.
    """

    ahead: str
    behind: str
    sign: Sign
    shown: str
    interval: str
    p: str
    verdict: str
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    chance: float = math.nan
    caveat: str = ""


def find_gap(run: Run, ahead: str, behind: str, metric: str) -> Gap:
    """The paired difference `ahead` - `behind` over the images that both were evaluated on."""
    ours, theirs = run.analyses_of(ahead), run.analyses_of(behind)
    both = [*ours, *theirs]
    if not ours or not theirs or any(metric not in one.metrics for one in both):
        return _unknown(ahead, behind, "no interval can be had: see the notes below")
    if len({one.pairing for one in both}) > 1:
        return _unknown(ahead, behind, "not comparable: evaluated on other images")
    found = paired_difference(theirs, ours, metric)
    if math.isnan(found.value):
        return _unknown(ahead, behind, "nothing to compare: no objects of this kind")
    beyond = p_beyond(theirs, ours, found)
    value, low, high = (POINTS * number for number in (found.value, found.low, found.high))
    return Gap(
        ahead,
        behind,
        _sign(found),
        show_signed(value),
        "" if math.isnan(low) else f"[{show_signed(low)}, {show_signed(high)}]",
        show_p(found.p, is_floor=not math.isnan(beyond)),
        _verdict(found, ours[0].images),
        value,
        low,
        high,
        found.p if math.isnan(beyond) else min(found.p, beyond),
        _caveat(found),
    )


def hold_together(gaps: Sequence[Gap]) -> tuple[Gap, ...]:
    """Gaps of one winner, chosen from the same data: those that stand among all the comparisons.

    S. Holm, A simple sequentially rejective multiple test procedure (1979): the smallest p is
    multiplied by the number of comparisons, the next by one less, until one is above 5 %. A gap
    that does not stand becomes "noise", and says so.
    """
    tested = sorted((gap for gap in gaps if not math.isnan(gap.chance)), key=lambda g: g.chance)
    stand: set[str] = set()
    for place, gap in enumerate(tested):
        if gap.chance * (len(tested) - place) >= SIGNIFICANT:
            break
        stand.add(gap.behind)
    lost = f"better on its own, but not significant among {len(tested)} comparisons"
    return tuple(
        replace(gap, sign="noise", verdict=lost)
        if gap.sign == "better" and gap.behind not in stand
        else gap
        for gap in gaps
    )


def _unknown(ahead: str, behind: str, why: str) -> Gap:
    return Gap(ahead, behind, "unknown", "–", "", "", why)


def _sign(found: Difference) -> Sign:
    if not found.outside:
        return "noise"
    return "better" if found.value > 0 else "worse"


def _verdict(found: Difference, images: int) -> str:
    if found.outside:
        word = "better" if found.value > 0 else "worse"
        return f"{word} on these images"
    if math.isnan(found.low):
        return "the noise is not known"
    if found.low > 0 or found.high < 0:
        return "not settled: more than image noise, but the seeds overlap"
    needed = images_needed(found, images)
    hint = f"; one this large would show on about {needed:,} images" if needed else ""
    return f"no significant difference on {images:,} images{hint}"


def images_needed(found: Difference, images: int) -> int | None:
    """Images on which a difference as large as this one would be told in 4 of 5 tries.

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


def _caveat(found: Difference) -> str:
    seeds = found.base.number, found.other.number
    if min(seeds) > 1:
        return ""
    who = "one training each" if max(seeds) == 1 else "one training of one of them"
    return f"{who}: another seed may differ"


def show_p(p: float, *, is_floor: bool = False) -> str:
    """Three digits at most; what a bootstrap cannot resolve is not pretended.

    Args:
        is_floor: it is the smallest that so many resamples can show.
    """
    if math.isnan(p):
        return ""
    if p < 0.001:
        return "< 0.001"
    digits = f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
    return f"≤ {digits}" if is_floor else digits
