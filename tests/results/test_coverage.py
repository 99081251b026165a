"""How often the intervals hold the truth, and how often the paired test errs, by simulation.

1,000 sets of 250 images, each seen by two detectors of the same skill: with 500, the rate at which
the test errs would be uncertain by one point. The truth is AP on 120,000
images of the same process. Nothing in the process was chosen for the sake of the outcome: images
differ in difficulty and in their number of objects, which both detectors share.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from simulated_sets import Process

from harness.results.ap.accumulate import IOU_50, mean_over_classes, measure_ap
from harness.results.ap.bootstrap import draw_weights, find_interval, find_p
from harness.results.ap.boxes import Scene, Weights
from harness.results.ap.matching import find_pairs, match
from harness.results.ap.ranges import COCO_RANGES

pytestmark = pytest.mark.slow

SETS, IMAGES, RESAMPLES = 1_000, 250, 200
METRICS = ("ap", "ap50", "ap_small")
PROCESS = Process()


@dataclass(frozen=True)
class Simulated:
    """
    Attributes:
        truth: metric -> AP of the process.
        values: metric -> (sets, detectors, 1 + resamples), the figure itself first.
    """

    truth: dict[str, float]
    values: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def simulated() -> Simulated:
    parts = [
        score(PROCESS.draw_scenes(30_000, 1_000_000 + n)[0], np.ones((1, 30_000), np.int32))
        for n in range(4)
    ]
    truth = np.mean(parts, axis=0)[:, 0]
    weights = np.concatenate(
        [np.ones((1, IMAGES), np.int32), draw_weights(IMAGES, RESAMPLES, seed=0)]
    )
    values = np.array(
        [
            [score(scene, weights) for scene in PROCESS.draw_scenes(IMAGES, seed, detectors=2)]
            for seed in range(SETS)
        ]
    )
    return Simulated(
        dict(zip(METRICS, truth.tolist(), strict=True)),
        {metric: values[:, :, n] for n, metric in enumerate(METRICS)},
    )


def score(scene: Scene, weights: Weights) -> np.ndarray:
    """(metrics, weights)."""
    pairs = find_pairs(scene)
    matches = [match(scene, pairs, COCO_RANGES[name]) for name in ("all", "small")]
    whole, small = measure_ap(scene, matches, weights)
    return np.stack(
        [mean_over_classes(part) for part in (whole.mean, whole.at[IOU_50], small.mean)]
    )


@pytest.mark.parametrize("metric", METRICS)
def test_intervals_hold_the_truth(simulated: Simulated, metric: str) -> None:
    truth = simulated.truth[metric]
    for detector in range(2):
        intervals = [
            find_interval(v[0], v[1:], IMAGES) for v in simulated.values[metric][:, detector]
        ]
        held = np.mean([low <= truth <= high for low, high in intervals])
        assert 0.92 <= held <= 0.98


@pytest.mark.parametrize("metric", METRICS)
def test_the_paired_test_seldom_sees_what_is_not_there(simulated: Simulated, metric: str) -> None:
    values = simulated.values[metric]
    differences = values[:, 1] - values[:, 0]
    p = np.array([find_p(d[0], d[1:], IMAGES) for d in differences])
    assert 0.03 <= np.mean(p < 0.05) <= 0.07


def test_p_and_interval_agree(simulated: Simulated) -> None:
    values = simulated.values["ap"]
    clear = []
    for d in values[:, 1] - values[:, 0]:
        low, high = find_interval(d[0], d[1:], IMAGES)
        p = find_p(d[0], d[1:], IMAGES)
        if not 0.03 < p < 0.07:  # quantiles lie between two resamples, p counts them
            clear.append(p)
            assert (p < 0.05) == (not low <= 0 <= high)
    assert len(clear) > 0.9 * SETS


def test_paired_intervals_are_the_narrower(simulated: Simulated) -> None:
    """Detectors that find the same images hard: the reason to pair at all."""
    base, other = simulated.values["ap"][:, 0], simulated.values["ap"][:, 1]
    paired = (other - base)[:, 1:].std(axis=1).mean()
    apart = np.hypot(base[:, 1:].std(axis=1), other[:, 1:].std(axis=1)).mean()
    assert paired < 0.7 * apart


def test_a_real_gain_is_seen() -> None:
    weights = np.concatenate(
        [np.ones((1, IMAGES), np.int32), draw_weights(IMAGES, RESAMPLES, seed=0)]
    )
    seen = 0
    for seed in range(20):
        scenes = PROCESS.draw_scenes(IMAGES, seed, 2, gain=0.8)
        base, other = (score(scene, weights)[0] for scene in scenes)
        difference = other - base
        seen += find_p(difference[0], difference[1:], IMAGES) < 0.05
    assert seen >= 18
