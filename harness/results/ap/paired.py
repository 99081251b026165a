"""Numbers over seeds, and differences between detectors, on the same resampled images.

Two errors, shown apart: other images would give other figures (the interval over images), and so
would another training with another seed (the spread over seeds).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from harness.results.ap.bootstrap import find_interval, find_p
from harness.results.ap.boxes import Floats
from harness.results.ap.types import Sampled


@dataclass(frozen=True)
class Paired:
    """How much another detector (or run) surpasses a base on the same images.

    Attributes:
        value: mean over the other's seeds less mean over the base's.
        low, high: paired 95 % interval over images.
        p: two-sided, of no difference, over images.
        beyond: p by Student's t where fewer than one resample turns the difference, which many
            comparisons need; NaN where the resamples do resolve it.
        seeds_overlap: whether the ranges of the seeds' values do; None unless both sides have
            at least two.
        outside: whether the difference is outside the noise: the interval leaves out 0, and
            the seeds' ranges do not overlap where there are any.
    """

    value: float
    low: float
    high: float
    p: float
    beyond: float
    seeds_overlap: bool | None
    outside: bool


def over_seeds(found: Sequence[Sampled]) -> Sampled:
    """The mean over the seeds of one detector, each resample's by itself.

    Args:
        found: one per seed, of the same resamples.
    """
    return Sampled(
        value=float(np.mean([one.value for one in found])),
        draws=np.asarray(np.mean([one.draws for one in found], axis=0)),
        count=max(one.count for one in found),
        images=min(one.images for one in found),
    )


def paired_difference(base: Sequence[Sampled], other: Sequence[Sampled]) -> Paired:
    """Other minus base, each a detector's number under its seeds, all of the same resamples."""
    one, two = over_seeds(base), over_seeds(other)
    value, draws = two.value - one.value, two.draws - one.draws
    images = min(one.images, two.images)  # a range may be defined otherwise elsewhere
    low, high = find_interval(value, draws, images)
    p = find_p(value, draws, images)
    overlap = _overlap([s.value for s in base], [s.value for s in other])
    outside = (low > 0 or high < 0) and not overlap
    return Paired(value, low, high, p, _p_beyond(value, draws, images, p), overlap, outside)


def _p_beyond(value: float, draws: Floats, images: int, p: float) -> float:
    """p where no resample, less its bias, turns the difference: fewer cannot be counted.

    It is that of Student's t on the bootstrap's standard error: the smallest p of 1,000 resamples,
    times the number of comparisons, would soon pass 5 % whatever the difference.
    """
    there = draws[~np.isnan(draws)]
    if math.isnan(p) or not len(there):
        return math.nan
    centred = there - (there.mean() - value)
    if not ((centred > 0).all() or (centred < 0).all()):
        return math.nan
    error = float(there.std() * np.sqrt(images / (images - 1)))
    return float(2 * stdtr(images - 1, -abs(value) / error)) if error else 0.0


def _overlap(base: Sequence[float], other: Sequence[float]) -> bool | None:
    if min(len(base), len(other)) < 2:
        return None
    return min(base) <= max(other) and min(other) <= max(base)
