"""Made-up analyses: draws around a chosen AP, so that figures have something to show."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from harness.results.ap.types import CellAnalysis, ErrorKind, Misses, Sampled, SizeBin

EDGES = (0.0, 8.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0, 256.0, math.inf)
ERRORS = ("classification", "localisation", "both", "duplicate", "background", "missed")
RATIOS = {
    "ap": 1.0,
    "ap50": 1.6,
    "ap75": 0.9,
    "ap_small": 0.5,
    "ap_medium": 1.1,
    "ap_large": 1.3,
    "ar_100": 1.2,
}
OBJECTS = 400  # of a whole score
PER_CLASS = 40


def class_score(ap: float, place: int, classes: int) -> float:
    """AP of the class at this place, of a detector whose AP is `ap`: the last one is the best."""
    return min(0.95, ap * (0.6 + 0.8 * (place + 1) / classes))


def make_analysis(
    ap: float,
    classes: Sequence[str],
    image_ids: Sequence[int],
    *,
    noise: float = 0.01,
    seed: int = 0,
    resamples: int = 200,
) -> CellAnalysis:
    """An analysis whose AP is `ap`; `noise` is the standard deviation of its draws.

    Image noise is shared by all analyses of the same images, as a paired bootstrap has it.
    """
    shared = np.random.default_rng(0).normal(0, noise, resamples)
    own = np.random.default_rng(seed + 1).normal(0, noise / 4, resamples)
    images = len(image_ids)

    def sampled(value: float, width: float, count: int) -> Sampled:
        draws = np.clip(value + width * (shared + own), 0, 1)
        return Sampled(value, draws, count, min(count, images))

    def curve(shrink: float) -> tuple[SizeBin, ...]:
        """The highest bins are empty: nothing there is that large."""
        nothing = Sampled(math.nan, np.full(resamples, math.nan), 0, 0)
        bins = []
        for i, (low, high) in enumerate(pairwise(EDGES)):
            if low >= 256 * shrink:
                bins.append(SizeBin(low, high, nothing, nothing))
                continue
            level = min(0.95, ap * (0.2 + 0.15 * i))
            count = max(3, 200 - 20 * abs(i - 4))
            both = sampled(level, 2, count), sampled(min(1, level * 1.5), 2, count)
            bins.append(SizeBin(low, high, *both))
        return tuple(bins)

    recall = np.linspace(0, 1, 101)
    return CellAnalysis(
        pairing="made",
        metrics={
            name: sampled(min(0.99, ap * ratio), ratio, OBJECTS) for name, ratio in RATIOS.items()
        },
        classes={
            name: sampled(class_score(ap, i, len(classes)), 2, PER_CLASS)
            for i, name in enumerate(classes)
        },
        curves={"original": curve(1.0), "network": curve(0.5)},
        recall=tuple(recall.tolist()),
        precision={
            name: tuple(np.clip(1.1 * height - recall**3, 0, 1).tolist())
            for name, height in (("0.50", 0.95), ("0.75", 0.8), ("0.50:0.95", 0.7))
        },
        errors=tuple(
            ErrorKind(name, 40 - 5 * i, 0.08 - 0.01 * i, _by_size(i))
            for i, name in enumerate(ERRORS)
        ),
        misses=tuple(Misses(n, 2, 1) for n in sorted(image_ids)),
    )


def _by_size(i: int) -> dict[str, tuple[int, float]]:
    return {"small": (20 - i, 0.1 - 0.01 * i), "medium": (10, 0.03), "large": (5, 0.01)}
