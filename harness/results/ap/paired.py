"""Numbers over seeds, and differences between detectors, on the same resampled images.

Two errors, shown apart: other images would give other figures (the interval over images), and so
would another training with another seed (the spread over seeds).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from harness.results.ap.bootstrap import centre, find_interval, find_p, spread
from harness.results.ap.boxes import Floats
from harness.results.ap.types import Sampled


@dataclass(frozen=True)
class Paired:
    """How much another detector (or run) surpasses a base on the same images.

    Attributes:
        value: mean over the other's seeds less mean over the base's.
        low, high: paired 95 % interval over images.
        p: two-sided, of no difference, over images.
        chance: p, for corrections; where no resample turns the difference, so that p is as small
            as so many can show, that of Student's t if it is smaller.
        outside: whether the difference is outside the noise: the interval leaves out 0, and
            the seeds' ranges do not overlap where there are any.
    """

    value: float
    low: float
    high: float
    p: float
    chance: float
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
    outside = (low > 0 or high < 0) and not _overlap(base, other)
    return Paired(value, low, high, p, _chance(value, draws, images, p), outside)


def _chance(value: float, draws: Floats, images: int, p: float) -> float:
    """p, or that of Student's t on the bootstrap's standard error where no resample counts.

    The smallest p of 1,000 resamples, times the number of comparisons, would soon pass 5 % whatever
    the difference.
    """
    centred = centre(value, draws)
    if math.isnan(p) or not ((centred > 0).all() or (centred < 0).all()):
        return p
    error = float(centred.std() * spread(images))
    return min(p, float(2 * stdtr(images - 1, -abs(value) / error)) if error else 0.0)


def _overlap(base: Sequence[Sampled], other: Sequence[Sampled]) -> bool:
    """Whether the ranges of the seeds' values do; one seed has no range."""
    one, two = ([seed.value for seed in side] for side in (base, other))
    return min(len(one), len(two)) > 1 and min(one) <= max(two) and min(two) <= max(one)
