"""Differences between detectors on the same images, and spreads over seeds.

Two errors, shown apart: other images would give other figures (the interval over images), and so
would another training with another seed (the spread over seeds).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from harness.results.ap.bootstrap import find_interval, find_p
from harness.results.ap.boxes import Floats
from harness.results.ap.types import CellAnalysis


@dataclass(frozen=True)
class Seeds:
    """A metric over the seeds of one detector.

    Attributes:
        mean: over seeds.
        deviation: standard deviation over seeds (n - 1), NaN for a single one.
        lowest, highest: of the seeds.
        number: of seeds.
        low, high: 95 % interval, over images, of the mean.
    """

    mean: float
    deviation: float
    lowest: float
    highest: float
    number: int
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """How much another detector (or run) surpasses a base on the same images.

    Attributes:
        value: mean over the other's seeds less mean over the base's.
        low, high: paired 95 % interval over images.
        p: two-sided, of no difference, over images.
        base, other: the two sides.
        seeds_overlap: whether the ranges of the seeds' values do; None unless both sides have
            at least two.
        outside: whether the difference is outside the noise: the interval leaves out 0, and
            the seeds' ranges do not overlap where there are any.
    """

    metric: str
    value: float
    low: float
    high: float
    p: float
    base: Seeds
    other: Seeds
    seeds_overlap: bool | None
    outside: bool


def over_seeds(analyses: Sequence[CellAnalysis], metric: str) -> Seeds:
    """A metric over seeds of one detector.

    Raises:
        ValueError: no analysis, one without this metric, or not the same images and resamples.
    """
    _check(analyses, metric)
    values = np.array([analysis.metrics[metric].value for analysis in analyses])
    mean = float(values.mean())
    interval = find_interval(mean, _replicates(analyses, metric), _images(analyses, metric))
    low, high = np.clip(interval, 0, 1)
    return Seeds(
        mean,
        float(values.std(ddof=1)) if len(values) > 1 else np.nan,
        float(values.min()),
        float(values.max()),
        len(values),
        float(low),
        float(high),
    )


def paired_difference(
    base: Sequence[CellAnalysis], other: Sequence[CellAnalysis], metric: str
) -> Difference:
    """Other minus base, each a detector's analyses, one per seed.

    Raises:
        ValueError: a side is empty or without this metric, or they were not analysed on the
            same images with the same resamples.
    """
    _check([*base, *other], metric)
    sides = over_seeds(base, metric), over_seeds(other, metric)
    value = sides[1].mean - sides[0].mean
    replicates = _replicates(other, metric) - _replicates(base, metric)
    images = _images([*base, *other], metric)
    low, high = find_interval(value, replicates, images)
    overlap = _overlap(*sides)
    outside = (low > 0 or high < 0) and not overlap
    p = find_p(value, replicates, images)
    return Difference(metric, value, low, high, p, *sides, overlap, outside)


def p_beyond(
    base: Sequence[CellAnalysis], other: Sequence[CellAnalysis], found: Difference
) -> float:
    """p where no resample, less its bias, turns the difference: fewer cannot be counted.

    It is that of Student's t on the bootstrap's standard error, which many comparisons need: the
    smallest p of 1,000 resamples, times their number, would soon pass 5 % whatever the gap.

    Returns:
        NaN where the resamples do resolve it.
    """
    drawn = _replicates(other, found.metric) - _replicates(base, found.metric)
    there = drawn[~np.isnan(drawn)]
    if np.isnan(found.p) or not len(there):
        return np.nan
    centred = there - (there.mean() - found.value)
    if not ((centred > 0).all() or (centred < 0).all()):
        return np.nan
    images = _images([*base, *other], found.metric)
    error = float(there.std() * np.sqrt(images / (images - 1)))
    return float(2 * stdtr(images - 1, -abs(found.value) / error)) if error else 0.0


def _check(analyses: Sequence[CellAnalysis], metric: str) -> None:
    if not analyses:
        raise ValueError("there is no analysis to look at")
    if any(metric not in a.metrics or metric not in a.replicates for a in analyses):
        raise ValueError(f"not every analysis has {metric!r}")
    if len({analysis.pairing for analysis in analyses}) > 1:
        raise ValueError("the analyses are not of the same images, annotations and resamples")


def _replicates(analyses: Sequence[CellAnalysis], metric: str) -> Floats:
    """(resamples,) mean over seeds."""
    mean: Floats = np.mean([analysis.replicates[metric] for analysis in analyses], axis=0)
    return mean


def _images(analyses: Sequence[CellAnalysis], metric: str) -> int:
    """How many images hold objects of the figure; a range may be defined otherwise elsewhere."""
    return min(analysis.metrics[metric].images for analysis in analyses)


def _overlap(base: Seeds, other: Seeds) -> bool | None:
    if min(base.number, other.number) < 2:
        return None
    return base.lowest <= other.highest and other.lowest <= base.highest
