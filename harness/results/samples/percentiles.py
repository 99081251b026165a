"""Percentiles of samples taken one after another, with intervals."""

import math
from collections.abc import Sequence

import numpy as np
import scipy  # loads scipy.stats where it is first used: a second that few commands need
from numpy.typing import NDArray

from harness.results.samples.autocorrelation import effective_fraction

Floats = NDArray[np.float64]
Interval = tuple[float, float]
NO_INTERVAL: Interval = (math.nan, math.nan)
TAIL = 0.025  # on either side of a 95 % interval


def percentile(samples: Sequence[float], percent: float) -> float:
    """As recorded: linear between samples; NaN without any."""
    return float(np.percentile(samples, percent)) if len(samples) else math.nan


def percentile_interval(samples: Sequence[float], percent: float) -> Interval:
    """95 % interval of a percentile between two order statistics, whatever the distribution.

    How many of n independent samples lie under the percentile is binomial, which gives the ranks
    (Conover, Practical Nonparametric Statistics, section 3.2). Their distance from the expected
    rank is stretched by the root of how much autocorrelation widens that count.

    Args:
        samples: in the order in which they were taken.

    Returns:
        NaN twice where the samples, or what they are worth, are too few for this percentile;
        `samples_needed` says how many independent ones it takes.
    """
    p, times = _share(percent), np.asarray(samples, dtype=np.float64)
    count = len(times)
    if count < samples_needed(percent):
        return NO_INTERVAL
    fraction = _fraction(times, percent)
    low, high = _ranks(count, p, fraction)
    if low < 1 or high > count or count * fraction < samples_needed(50):
        return NO_INTERVAL
    ordered = np.sort(times)
    return float(ordered[low - 1]), float(ordered[high - 1])


def samples_needed(percent: float) -> int:
    """Fewest independent samples that bound a percentile on both sides.

    6 for p50, 36 for p90, 368 for p99.
    """
    p = _share(percent)
    return math.ceil(math.log(TAIL) / math.log(max(p, 1 - p)))


def _share(percent: float) -> float:
    if not 0 < percent < 100:
        raise ValueError(f"a percentile lies between 0 and 100, not at {percent}")
    return percent / 100


def _fraction(times: Floats, percent: float) -> float:
    """Bursts show in which samples exceed the percentile, slow drifts in the ranks of all."""
    above = (times > np.percentile(times, percent)).astype(np.float64)
    return min(effective_fraction(above), effective_fraction(scipy.stats.rankdata(times)))


def _ranks(count: int, p: float, fraction: float) -> tuple[int, int]:
    """Ranks from 1 of the lower and the upper bound; they may lie outside the samples."""
    # largest low with P(B < low) <= tail, smallest high with P(B >= high) <= tail
    low = int(scipy.stats.binom.ppf(TAIL, count, p))
    if scipy.stats.binom.cdf(low, count, p) <= TAIL:
        low += 1
    high = int(scipy.stats.binom.isf(TAIL, count, p)) + 1
    middle, effective = count * p, max(2.0, count * fraction)
    stretch = 1.0
    if fraction < 1:
        # the variance is estimated from few: Student's quantile in place of the normal one
        wider = scipy.stats.t.isf(TAIL, effective - 1) / scipy.stats.norm.isf(TAIL)
        stretch = float(wider / math.sqrt(fraction))
    return (
        math.floor(middle - (middle - low) * stretch),
        math.ceil(middle + (high - middle) * stretch),
    )
