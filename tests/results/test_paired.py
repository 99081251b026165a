"""Differences on the same images, and over seeds."""

import numpy as np
import pytest
from box_sets import make_detection, make_object, make_set, precision_of, scorings

from harness.manifest.schema import Report
from harness.results.ap.paired import over_seeds, paired_difference
from harness.results.ap.types import Sampled

RNG = np.random.default_rng(0)
COMMON = RNG.normal(0, 0.05, 1000)  # images that are hard for everybody


def score(value: float, noise: float = 0.01, seed: int = 0, holding: int = 150) -> Sampled:
    """An AP whose draws share most of their noise with those of others.

    Args:
        holding: images that hold objects.
    """
    own = np.random.default_rng(seed).normal(0, noise, 1000)
    return Sampled(value, value + COMMON + own, 900, holding)


def test_a_difference_is_other_minus_base():
    found = paired_difference([score(0.30)], [score(0.34, seed=1)])
    assert found.value == pytest.approx(0.04)
    assert found.low < 0.04 < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.01 * 2**0.5, rel=0.1)
    assert found.p < 0.05
    assert found.outside


def test_sides_exchanged():
    one, two = [score(0.30)], [score(0.32, seed=1)]
    there, back = paired_difference(one, two), paired_difference(two, one)
    assert (back.value, back.low, back.high) == pytest.approx(
        (-there.value, -there.high, -there.low)
    )
    assert back.p == pytest.approx(there.p)


def test_a_small_difference_is_within_the_noise():
    found = paired_difference([score(0.30)], [score(0.31, seed=1)])
    assert found.low < 0 < found.high
    assert found.p > 0.05
    assert not found.outside


def test_a_detector_does_not_differ_from_itself():
    found = paired_difference([score(0.3)], [score(0.3)])
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert not found.outside


def test_seeds_that_overlap_keep_a_difference_within_the_noise():
    base = [score(0.30), score(0.35, seed=1)]
    other = [score(0.34, seed=2), score(0.39, seed=3)]
    found = paired_difference(base, other)
    assert found.low > 0
    assert not found.outside


def test_seeds_that_stand_apart():
    base = [score(0.30), score(0.31, seed=1)]
    other = [score(0.36, seed=2), score(0.37, seed=3)]
    found = paired_difference(base, other)
    assert found.outside
    assert found.value == pytest.approx(0.365 - 0.305)


def test_one_seed_on_a_side_says_nothing_of_overlap():
    base = [score(0.30), score(0.40, seed=1)]
    found = paired_difference(base, [score(0.39, seed=2)])
    assert found.outside


def test_seeds_are_averaged_in_each_resample():
    found = over_seeds([score(v, seed=n) for n, v in enumerate((0.3, 0.32, 0.37))])
    assert found.value == pytest.approx(0.33)
    assert (found.count, found.images) == (900, 150)
    spread = np.hypot(0.05, 0.01 / 3**0.5)
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.1)


def test_one_seed_is_its_own_mean():
    one = score(0.3)
    found = over_seeds([one])
    assert (found.value, found.low, found.high) == (one.value, one.low, one.high)


def test_a_figure_that_is_not_there_differs_by_nothing_known():
    nothing = score(np.nan)
    found = paired_difference([nothing], [nothing])
    assert np.isnan([found.value, found.low, found.high, found.p]).all()
    assert not found.outside


def test_objects_of_one_image_are_one_observation():
    """900 objects, but in too few images for an interval or a test."""
    base, other = [score(0.30, holding=5)], [score(0.60, seed=1, holding=5)]
    found = paired_difference(base, other)
    assert found.value == pytest.approx(0.3)
    assert np.isnan([found.low, found.high, found.p, base[0].low, base[0].high]).all()
    assert not found.outside


def test_fewer_images_that_hold_objects_widen_the_difference():
    widths = []
    for holding in (6, 20, 150):
        sides = [[score(0.3, seed=n, holding=holding)] for n in range(2)]
        found, (alone,) = paired_difference(*sides), sides[0]
        widths.append((found.high - found.low, alone.high - alone.low))
    assert widths == sorted(widths, reverse=True)
    assert widths[0][0] > 1.2 * widths[2][0]


def test_a_p_that_no_resample_can_show_is_students():
    """Needed where many differences are tested at once; else a tail of the resamples is counted."""
    sure = paired_difference([score(0.30)], [score(0.50, seed=1)])
    assert 0 < sure.chance < sure.p
    unsure = paired_difference([score(0.30)], [score(0.32, seed=1)])
    assert unsure.chance == unsure.p


def test_measured_objects_of_one_image_give_no_interval():
    objects = [make_object([30 * n, 0, 10, 10]) for n in range(10)]
    objects += [make_object([0, 200, 100, 100], image=n) for n in range(1, 51)]
    sides = []
    for share in (5, 10):
        found = [make_detection(o["bbox"], 0.9) for o in objects[:share]]
        given = make_set(objects, found, images=50)
        sides.append([precision_of(given, None, Report(), scorings()).metrics["ap_small"]])
    difference = paired_difference(*sides)
    assert difference.value > 0.4
    assert np.isnan([difference.low, difference.p, sides[0][0].low]).all()
    assert not difference.outside


def test_measured_detectors_pair_image_by_image():
    """One finds what the other does and in one image of twenty an object more."""
    objects = [make_object([0, 0, 50, 50], image=n) for n in range(1, 21)]
    found = [make_detection([0, 0, 50, 50], 0.9, image=n) for n in range(1, 21)]
    sides = []
    for detections in (found[:10], found[:11]):
        given = make_set(objects, detections, images=20)
        measured = precision_of(given, None, Report(resamples=1000), scorings())
        sides.append(measured.metrics["ar_100"])
    difference = paired_difference([sides[0]], [sides[1]])
    assert difference.value == pytest.approx(1 / 20)
    assert -0.02 < difference.low < 0.05 < difference.high < 0.25
    alone = sides[0].high - sides[0].low
    assert difference.high - difference.low < 0.6 * alone
