"""What a change is worth on average, over all pairs of detectors that differ in it alone.

The main effect of one factor of a grid (D. C. Montgomery, Design and Analysis of Experiments,
chapter on factorial designs): of a score the mean of the pairs' differences, of what is
positive the geometric mean of their ratios.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, geometric_mean

from harness.plugin.metrics import Finding
from harness.results.ap.paired import over_seeds, paired_difference
from harness.results.ap.types import Sampled
from harness.results.difference import Difference, Verdict, direction
from harness.results.estimate import Estimate
from harness.results.samples.medians import SMALLEST_EFFECT, is_beyond


@dataclass(frozen=True)
class Compared:
    """One pair: two estimates of a metric, and how they differ."""

    base: Estimate
    other: Estimate
    difference: Difference


@dataclass(frozen=True)
class MainEffect:
    """The mean over pairs. Where they are far apart, it depends on the other parts.

    Attributes:
        difference: its `value`, `low` and `high` are relative to `base`.
        base: the mean over the pairs' bases; geometric, of what is compared by ratios.
        pairs: how many it is the mean of.
    """

    difference: Difference
    base: float = math.nan
    pairs: int = 0


def main_effect(pairs: Sequence[Compared]) -> MainEffect:
    """Of the pairs that could be compared; "missing" where those are fewer than two.

    Its interval is that of other images or other repetitions, with these pairs.
    """
    known = [one for one in pairs if one.difference.compared]
    if len(known) < 2:
        return MainEffect(Difference("missing"), pairs=len(known))
    if known[0].base.metric.interval == "bootstrap":
        return _of_scores(known)
    if all(min(one.base.value, one.other.value) > 0 for one in known):
        return _of_ratios(known)
    return MainEffect(Difference("unknown", reasons=(_remark("no_test"),)), pairs=len(known))


def _of_scores(pairs: Sequence[Compared]) -> MainEffect:
    """On the same resampled images in all pairs, so that what they share cancels."""
    base = fmean(one.base.value for one in pairs)
    change = fmean(one.other.value - one.base.value for one in pairs)
    ratio = (base + change) / base if base else math.nan
    difference = Difference("unknown", change, ratio, reasons=_reasons(pairs))
    if not difference.reasons:
        sides = _seeds([one.base for one in pairs]), _seeds([one.other for one in pairs])
        found = paired_difference(*sides)
        verdict = direction(pairs[0].base, change > 0) if found.outside else "noise"
        if math.isnan(found.low):
            verdict = "unknown"
        difference = Difference(
            verdict, change, ratio, found.low, found.high, found.p, found.chance,
            caveats=_caveats(pairs),
        )  # fmt: skip
    return MainEffect(difference, base, len(pairs))


def _of_ratios(pairs: Sequence[Compared]) -> MainEffect:
    base = geometric_mean(one.base.value for one in pairs)
    logs = [math.log(one.other.value / one.base.value) for one in pairs]
    mean, exact = fmean(logs), pairs[0].base.metric.interval == "exact"
    half = (0.0, 0.0) if exact else _half_widths(pairs, logs)
    ratio, low, high = (math.exp(mean + side) for side in (0, -half[0], half[1]))
    verdict: Verdict = direction(pairs[0].base, ratio > 1)
    if exact and math.isclose(ratio, 1, rel_tol=1e-12):
        verdict = "equal"
    elif math.isnan(low):
        verdict = "unknown"
    elif not exact and not is_beyond(low, high, SMALLEST_EFFECT):
        verdict = "noise"
    difference = Difference(
        verdict, base * (ratio - 1), ratio, base * (low - 1), base * (high - 1),
        reasons=_reasons(pairs) if verdict == "unknown" else (), caveats=_caveats(pairs),
    )  # fmt: skip
    return MainEffect(difference, base, len(pairs))


def _half_widths(pairs: Sequence[Compared], logs: Sequence[float]) -> tuple[float, float]:
    """Of a mean of independent differences (MOVER, as `compare_percentiles` puts two together)."""
    down, up = [], []
    for one, middle in zip(pairs, logs, strict=True):
        low, high = (
            1 + side / one.base.value for side in (one.difference.low, one.difference.high)
        )
        if not 0 < low <= high:
            return math.nan, math.nan
        down.append(middle - math.log(low))
        up.append(math.log(high) - middle)
    return math.hypot(*down) / len(pairs), math.hypot(*up) / len(pairs)


def _seeds(sides: Sequence[Estimate]) -> list[Sampled]:
    """The mean over detectors, one per seed where all have as many, else one in all."""
    if len({len(one.sampled) for one in sides}) == 1:
        return [over_seeds(seeds) for seeds in zip(*(one.sampled for one in sides), strict=True)]
    return [over_seeds([over_seeds(one.sampled) for one in sides])]


def _reasons(pairs: Sequence[Compared]) -> tuple[Finding, ...]:
    """Why there is no interval: those of the pairs, or that the pairs have no images in common."""
    unknown = [one.difference.reasons for one in pairs if one.difference.verdict == "unknown"]
    if unknown:
        return unknown[0]
    if len({one.base.pairing for one in pairs}) > 1:
        return (_remark("images_differ"),)
    return ()


def _caveats(pairs: Sequence[Compared]) -> tuple[Finding, ...]:
    found = {one.code: one for pair in pairs for one in pair.difference.caveats}
    return tuple(found.values())


def _remark(code: str) -> Finding:
    return Finding(code, "remark")
