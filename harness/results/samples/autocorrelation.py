"""How many independent samples a series of dependent ones is worth."""

import math

import numpy as np
from numpy.typing import NDArray

FEWEST = 8  # with fewer, neighbours say nothing


def effective_fraction(series: NDArray[np.float64]) -> float:
    """Effective over actual number of samples, in (0, 1]; 1 for independent ones.

    The variance of the mean of n samples is theirs times tau / n, with tau = 1 + 2 x the sum of
    the autocorrelations. The sum runs over lags in pairs until a pair is negative (initial
    positive sequence: Geyer, Statistical Science 7, 1992, section 3.3). A series that swings
    (cycles over images) may be worth more than n; that is not believed.

    Args:
        series: values, or ranks where outliers must not decide, in the order taken.
    """
    count = len(series)
    if count < FEWEST or np.ptp(series) == 0:
        return 1.0
    # the mean is estimated from the same samples, which pulls each autocorrelation down by 1 / n
    correlations = autocorrelations(series) + 1 / count
    pairs = correlations[1 : count // 2 * 2 - 1].reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(pairs <= noise(count))
    until = int(negative[0]) if len(negative) else len(pairs)
    tau = 1 + 2 * float(pairs[:until].sum())
    return min(1.0, max(1 / tau, 2 / count)) if tau > 0 else 1.0


def autocorrelations(series: NDArray[np.float64]) -> NDArray[np.float64]:
    """At lags 0 to n - 1, by the fast Fourier transform; 1 at lag 0."""
    centred = series - series.mean()
    spectrum = np.fft.rfft(centred, 2 * len(series))
    sums = np.fft.irfft(np.abs(spectrum) ** 2, 2 * len(series))[: len(series)]
    return np.asarray(sums / sums[0])


def noise(count: int) -> float:
    """What a pair of autocorrelations of independent samples rarely exceeds by chance alone."""
    return math.sqrt(2 / count)
