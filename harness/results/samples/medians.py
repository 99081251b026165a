"""Latencies with their uncertainty: intervals of percentiles, and whether two differ.

Times taken one after another are not independent: clocks drift, and other work comes in bursts.
Where neighbours resemble each other, n samples are worth fewer, and every interval and p-value
here is widened to what they are worth. What no samples of one process show is how the next
process would differ; that is what a smallest effect that matters is for.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # loads scipy.stats where it is first used: a second that few commands need

from harness.results.samples.autocorrelation import effective_fraction
from harness.results.samples.percentiles import (
    NO_INTERVAL,
    Floats,
    Interval,
    percentile,
    percentile_interval,
    samples_needed,
)

SMALLEST_EFFECT = 0.02
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class LatencyDifference:
    """How a median compares with another.

    Attributes:
        ratio: median of other / median of base; under 1 is faster.
        low, high: 95 % interval of the ratio, NaN with fewer than six samples on a side. Where
            `p` is NaN, what was seen and as much again.
        p: two-sided, of the rank test; NaN where the samples are worth too few for one.
        effective: how many independent samples those of base and other are worth.
        outside: p is under 0.05, where there is one, and the whole interval lies beyond the
            smallest effect.
    """

    ratio: float
    low: float
    high: float
    p: float
    effective: tuple[float, float]
    outside: bool


def compare_latency(
    base: Sequence[float], other: Sequence[float], smallest_effect: float = SMALLEST_EFFECT
) -> LatencyDifference:
    """Compare two series of samples by their medians.

    The interval of the ratio is that of `compare_percentiles`. The p-value is that of the
    Mann-Whitney rank test with its variance widened by the autocorrelation of both series.

    Where a drift, or steps between runs, leave so few effective samples that there is neither,
    the interval is twice as wide as the ranges of the samples make it: ten milliseconds that
    become eleven are still distinguished from twenty.

    Args:
        base, other: positive times in one unit, in the order in which they were taken. Several
            runs may follow one another: steps between them count as autocorrelation.
        smallest_effect: 0.02 is 2 %.

    Raises:
        ValueError: an empty series, or a time that is not positive.
    """
    one, two = _checked(base), _checked(other)
    shares = (
        effective_fraction(scipy.stats.rankdata(one)),
        effective_fraction(scipy.stats.rankdata(two)),
    )
    effective = len(one) * shares[0], len(two) * shares[1]
    ratio, low, high = compare_percentiles(base, other, 50)
    p = _rank_test(one, two, effective)
    if math.isnan(p) or math.isnan(low):
        (low, high), p = _seen_interval(one, two), math.nan
    outside = is_beyond(low, high, smallest_effect) and not p >= SIGNIFICANT
    return LatencyDifference(ratio, low, high, p, effective, outside)


def compare_percentiles(
    base: Sequence[float], other: Sequence[float], percent: float
) -> tuple[float, float, float]:
    """Ratio of a percentile of positive samples, other / base, with its 95 % interval.

    The two percentiles' intervals are put together on the log scale (MOVER: Zou and Donner,
    Statistics in Medicine 27, 2008), so swapping base and other inverts it exactly and nothing is
    drawn at random. NaN twice where either percentile has no interval.
    """
    logs = [
        np.log([*percentile_interval(times, percent), percentile(times, percent)])
        for times in (base, other)
    ]
    (low_1, high_1, middle_1), (low_2, high_2, middle_2) = logs
    middle = middle_2 - middle_1
    down = math.hypot(middle_2 - low_2, high_1 - middle_1)
    up = math.hypot(high_2 - middle_2, middle_1 - low_1)
    return math.exp(middle), math.exp(middle - down), math.exp(middle + up)


def is_beyond(low: float, high: float, smallest_effect: float) -> bool:
    """Whether a whole interval of ratios lies further from 1 than what matters."""
    return low > 1 + smallest_effect or high < 1 / (1 + smallest_effect)


def _seen_interval(base: Floats, other: Floats) -> Interval:
    """Ratios between any sample of one and any of the other, and as far again on both sides."""
    if min(len(base), len(other)) < samples_needed(50):
        return NO_INTERVAL
    middle = math.log(np.median(other) / np.median(base))
    low, high = math.log(other.min() / base.max()), math.log(other.max() / base.min())
    return math.exp(2 * low - middle), math.exp(2 * high - middle)


def _rank_test(base: Floats, other: Floats, effective: tuple[float, float]) -> float:
    """Two-sided p of Mann and Whitney's U; equal to scipy's where samples are independent."""
    n, m = len(base), len(other)
    if min(effective) < samples_needed(50):
        return math.nan
    ranks = scipy.stats.rankdata(np.concatenate([base, other]))
    if np.ptp(ranks) == 0:
        return 1.0
    shift = ranks[:n].sum() - n * ranks.mean()
    # of a sum of n ranks drawn without putting back; right with ties, too
    deviation = math.sqrt(n * m / (n + m) * ranks.var(ddof=1))
    inflation = (1 / effective[0] + 1 / effective[1]) / (1 / n + 1 / m)
    score = abs(shift) / deviation / math.sqrt(inflation)
    return float(2 * scipy.stats.t.sf(score, max(1.0, sum(effective) - 2)))


def _checked(samples: Sequence[float]) -> Floats:
    times = np.asarray(samples, dtype=np.float64)
    if not len(times):
        raise ValueError("there are no samples to compare")
    if not (np.isfinite(times).all() and (times > 0).all()):
        raise ValueError("times are positive numbers")
    return times
