"""Bootstrap over images: resamples."""

import numpy as np

from harness.analysis.accumulate import Weights


def draw_weights(images: int, resamples: int, seed: int) -> Weights:
    """How often each image stands in each resample: (resamples, images), rows sum to `images`.

    The same for every detector of as many images, so that their replicates pair.
    """
    draws = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), resamples)
    return draws.astype(np.int32)
