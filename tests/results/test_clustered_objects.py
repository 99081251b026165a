"""The paired test on rare objects that stand together in few images, by simulation.

Two detectors of the same skill; how hard an image is they share, their luck in it they do not. All
goes through `measure_precision` and `paired_difference`, as in a report.
"""

import numpy as np
import pytest
from box_sets import make_detection, make_object, make_set, precision_of, scorings

from harness.manifest.schema import Report
from harness.results.ap.paired import Paired, paired_difference
from harness.results.ap.types import Sampled

IMAGES, SETS = 40, 60
SMALL = {"ap_small": scorings()["ap_small"]}


def compare_equals(holding: int, together: int, seed: int, seeds: int = 1) -> Paired:
    """AP of small objects, `together` of them in each of `holding` images of 40."""
    rng = np.random.default_rng(seed)
    objects = [
        make_object([30.0 * place, 0, 10, 10], image)
        for image in range(1, holding + 1)
        for place in range(together)
    ]
    objects += [make_object([0, 200, 100, 100], image) for image in range(1, IMAGES + 1)]
    hard = rng.normal(0, 1, IMAGES + 1)

    def analyse() -> Sampled:
        odds = hard + rng.normal(0, 1, IMAGES + 1)
        found = [
            make_detection(o["bbox"], float(rng.random()), o["image_id"])
            for o in objects
            if rng.random() < 1 / (1 + np.exp(-odds[o["image_id"]]))
        ]
        given = make_set(objects, found, IMAGES)
        settings = Report(resamples=200, size_bins=(0, 32))
        return precision_of(given, None, settings, SMALL).metrics["ap_small"]

    sides = [[analyse() for _ in range(seeds)] for _ in range(2)]
    return paired_difference(*sides)


@pytest.mark.parametrize(("holding", "together"), [(1, 20), (2, 10), (3, 8), (5, 6)])
def test_too_few_images_decide_nothing(holding: int, together: int) -> None:
    for seed in range(5):
        found = compare_equals(holding, together, seed)
        assert np.isfinite(found.value)
        assert np.isnan([found.low, found.high, found.p]).all()
        assert not found.outside


@pytest.mark.parametrize(("holding", "together"), [(8, 5), (20, 3)])
def test_equals_seldom_differ(holding: int, together: int) -> None:
    found = [compare_equals(holding, together, seed) for seed in range(SETS)]
    assert np.isfinite([f.p for f in found]).all()
    # at 5 %, 8 or more of 60 come up once in 100 times
    assert sum(f.outside for f in found) <= 7


def test_equals_of_two_seeds_seldom_differ() -> None:
    found = [compare_equals(20, 3, seed, seeds=2) for seed in range(SETS // 2)]
    assert sum(f.outside for f in found) <= 4
