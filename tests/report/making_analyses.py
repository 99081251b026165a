"""Made-up analyses: replicates drawn around a chosen AP, so that figures have something to show."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from harness.results.ap.types import CellAnalysis, ErrorKind, Estimate, Misses, SizeBin

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


def make_analysis(
    ap: float,
    classes: Sequence[str],
    image_ids: Sequence[int],
    *,
    noise: float = 0.01,
    seed: int = 0,
    resamples: int = 200,
) -> CellAnalysis:
    """An analysis whose AP is `ap`; `noise` is the standard deviation of its replicates.

    Image noise is shared by all analyses of the same images, as a paired bootstrap has it.
    """
    shared = np.random.default_rng(0).normal(0, noise, resamples)
    own = np.random.default_rng(seed + 1).normal(0, noise / 4, resamples)
    values = {name: min(0.99, ap * ratio) for name, ratio in RATIOS.items()}
    draws = {name: value + (shared + own) * RATIOS[name] for name, value in values.items()}
    recall = np.linspace(0, 1, 101)
    return CellAnalysis(
        pairing="made",
        images=len(image_ids),
        resamples=resamples,
        metrics={
            name: _estimate(value, noise, 400, len(image_ids)) for name, value in values.items()
        },
        replicates={name: tuple(draw.tolist()) for name, draw in draws.items()},
        classes={
            name: _estimate(
                min(0.95, ap * (0.6 + 0.8 * (i + 1) / len(classes))), noise * 2, 40, len(image_ids)
            )
            for i, name in enumerate(classes)
        },
        curves={
            "original": _curve(ap, noise, 1.0, len(image_ids)),
            "network": _curve(ap, noise, 0.5, len(image_ids)),
        },
        recall=tuple(recall.tolist()),
        precision={
            name: tuple(np.clip(1.1 * height - recall**3, 0, 1).tolist())
            for name, height in (("0.50", 0.95), ("0.75", 0.8), ("0.50:0.95", 0.7))
        },
        errors=tuple(
            ErrorKind(name, 40 - 5 * i, 0.08 - 0.01 * i, _by_size(i))
            for i, name in enumerate(ERRORS)
        ),
        misses=tuple(Misses(n, 2, 1, 4, 2) for n in sorted(image_ids)),
    )


def _estimate(value: float, noise: float, count: int, images: int) -> Estimate:
    low, high = max(0.0, value - 2 * noise), min(1.0, value + 2 * noise)
    return Estimate(value, low, high, count, min(count, images))


def _by_size(i: int) -> dict[str, tuple[int, float]]:
    return {"small": (20 - i, 0.1 - 0.01 * i), "medium": (10, 0.03), "large": (5, 0.01)}


def _curve(ap: float, noise: float, shrink: float, images: int) -> tuple[SizeBin, ...]:
    """The highest bins are empty: nothing there is that large."""
    bins = []
    for i, (low, high) in enumerate(pairwise(EDGES)):
        if low >= 256 * shrink:
            nothing = Estimate(math.nan, math.nan, math.nan, 0, 0)
            bins.append(SizeBin(low, high, nothing, nothing))
            continue
        level = min(0.95, ap * (0.2 + 0.15 * i))
        count = max(3, 200 - 20 * abs(i - 4))
        both = (
            _estimate(level, noise * 2, count, images),
            _estimate(min(1, level * 1.5), noise * 2, count, images),
        )
        bins.append(SizeBin(low, high, *both))
    return tuple(bins)
