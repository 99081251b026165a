"""Bootstrap over images: resamples, and what they say about a figure.

Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 6, 13 and 16. A resample
draws as many images as there are, with replacement; all detectors see the same resamples.

Which interval: AP is biased upwards in small sets, since the interpolated precision is a maximum,
and in a resample, with fewer different images, more so. The percentile interval thus stands too
high by about the bias of the resamples, most for few small objects; the basic interval (mirrored)
and the bias-corrected one miss the truth more often there. Taken here: the percentile interval
moved down by the estimated bias, so that it lies round the figure itself. It is widened for few
images as Student's t is wider than the normal distribution (the "expanded percentile interval" of
Hesterberg 2015, https://arxiv.org/abs/1411.5279). tests/results/test_coverage.py measures how
often it holds the truth.
"""

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from harness.results.ap.boxes import Floats, Weights

CONFIDENCE = 0.95
# a resample cannot leave the range of its images: of n, the sign test's smallest two-sided p is
# 2^(1 - n), and 6 is the first n that brings it below 5 %
FEWEST_IMAGES = 6


def draw_weights(images: int, resamples: int, seed: int) -> Weights:
    """How often each image occurs in each resample: (resamples, images), rows sum to `images`.

    The same for every detector of as many images, so that their replicates pair.
    """
    if not images:
        return np.zeros((resamples, 0), np.int32)
    draws = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), resamples)
    return draws.astype(np.int32)


def find_interval(value: float, replicates: Floats, images: int) -> tuple[float, float]:
    """95 % interval of a figure.

    Args:
        replicates: (resamples,) the figure in each; NaN where a resample has no ground truth.
        images: how many hold objects of the figure.

    Returns:
        (nan, nan) where no interval can be had: there is no figure, fewer than
        `FEWEST_IMAGES` images hold its objects, or most resamples have no ground truth.
    """
    centred = centre(value, replicates)
    if images < FEWEST_IMAGES or not len(centred):
        return np.nan, np.nan
    tail = ndtr(spread(images) * stdtrit(images - 1, (1 - CONFIDENCE) / 2))
    low, high = np.quantile(centred, [tail, 1 - tail])
    return float(low), float(high)


def find_p(value: float, replicates: Floats, images: int) -> float:
    """Two-sided p-value of "the figure is 0", below 0.05 where the interval leaves out 0.

    Args:
        value, replicates, images: as of `find_interval`.
    """
    centred = centre(value, replicates)
    if images < FEWEST_IMAGES or not len(centred):
        return np.nan
    rarer = min(np.count_nonzero(centred <= 0), np.count_nonzero(centred >= 0))
    # one more in each: as many resamples as there are cannot show a p of 0
    share = (rarer + 1) / (len(centred) + 1)
    if share >= 0.5:
        return 1.0
    return float(2 * stdtr(images - 1, ndtri(share) / spread(images)))


def centre(value: float, replicates: Floats) -> Floats:
    """Replicates without their bias; none when too few of them have a figure."""
    there = replicates[~np.isnan(replicates)]
    if np.isnan(value) or 2 * len(there) <= len(replicates):
        return np.zeros(0)
    centred: Floats = there - (there.mean() - value)
    return centred


def spread(images: int) -> float:
    """The spread of a sample of n is too small by this factor; resamples inherit it."""
    return float(np.sqrt(images / (images - 1)))
