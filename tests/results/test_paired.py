"""Differences on the same images, and over seeds."""

import numpy as np
import pytest
from box_sets import make_detection, make_object, make_set

from harness.manifest.schema import Report
from harness.results.ap.paired import over_seeds, paired_difference
from harness.results.ap.precision import measure_precision
from harness.results.ap.types import CellAnalysis, Estimate

RNG = np.random.default_rng(0)
COMMON = RNG.normal(0, 0.05, 1000)  # images that are hard for everybody


def analysis(
    value: float, noise: float = 0.01, pairing: str = "p", seed: int = 0, holding: int = 150
) -> CellAnalysis:
    """An AP whose replicates share most of their noise with those of others.

    Args:
        holding: images that hold objects, of 200.
    """
    own = np.random.default_rng(seed).normal(0, noise, 1000)
    return CellAnalysis(
        pairing=pairing,
        images=200,
        resamples=1000,
        metrics={"ap": Estimate(value, value - 0.1, value + 0.1, 900, holding)},
        replicates={"ap": tuple(value + COMMON + own)},
        classes={},
        curves={},
        recall=(),
        precision={},
        errors=(),
        misses=(),
    )


def test_a_difference_is_other_minus_base():
    found = paired_difference([analysis(0.30)], [analysis(0.34, seed=1)], "ap")
    assert found.value == pytest.approx(0.04)
    assert found.low < 0.04 < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.01 * 2**0.5, rel=0.1)
    assert found.p < 0.05
    assert found.outside
    assert found.seeds_overlap is None


def test_sides_exchanged():
    one, two = [analysis(0.30)], [analysis(0.32, seed=1)]
    there, back = paired_difference(one, two, "ap"), paired_difference(two, one, "ap")
    assert (back.value, back.low, back.high) == pytest.approx(
        (-there.value, -there.high, -there.low)
    )
    assert back.p == pytest.approx(there.p)
    assert (back.base, back.other) == (there.other, there.base)


def test_a_small_difference_is_within_the_noise():
    found = paired_difference([analysis(0.30)], [analysis(0.31, seed=1)], "ap")
    assert found.low < 0 < found.high
    assert found.p > 0.05
    assert not found.outside


def test_a_detector_does_not_differ_from_itself():
    found = paired_difference([analysis(0.3)], [analysis(0.3)], "ap")
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert not found.outside


def test_seeds_that_overlap_keep_a_difference_within_the_noise():
    base = [analysis(0.30), analysis(0.35, seed=1)]
    other = [analysis(0.34, seed=2), analysis(0.39, seed=3)]
    found = paired_difference(base, other, "ap")
    assert found.low > 0
    assert found.seeds_overlap is True
    assert not found.outside


def test_seeds_that_stand_apart():
    base = [analysis(0.30), analysis(0.31, seed=1)]
    other = [analysis(0.36, seed=2), analysis(0.37, seed=3)]
    found = paired_difference(base, other, "ap")
    assert found.seeds_overlap is False
    assert found.outside
    assert (found.base.mean, found.other.mean) == pytest.approx((0.305, 0.365))


def test_one_seed_on_a_side_says_nothing_of_overlap():
    base = [analysis(0.30), analysis(0.40, seed=1)]
    found = paired_difference(base, [analysis(0.39, seed=2)], "ap")
    assert found.seeds_overlap is None
    assert found.outside


def test_seeds_show_both_errors_apart():
    found = over_seeds([analysis(v, seed=n) for n, v in enumerate((0.3, 0.32, 0.37))], "ap")
    assert (found.mean, found.lowest, found.highest) == pytest.approx((0.33, 0.3, 0.37))
    assert found.deviation == pytest.approx(0.0360555)
    assert found.number == 3
    spread = np.hypot(0.05, 0.01 / 3**0.5)
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.1)


def test_one_seed_has_no_spread():
    found = over_seeds([analysis(0.3)], "ap")
    assert (found.mean, found.lowest, found.highest, found.number) == (0.3, 0.3, 0.3, 1)
    assert np.isnan(found.deviation)


@pytest.mark.parametrize(
    ("base", "other", "metric", "said"),
    [
        ([analysis(0.3)], [analysis(0.3, pairing="q")], "ap", "same images"),
        ([analysis(0.3), analysis(0.3, pairing="q")], [analysis(0.3)], "ap", "same images"),
        ([], [analysis(0.3)], "ap", "no analysis"),
        ([analysis(0.3)], [], "ap", "no analysis"),
        ([analysis(0.3)], [analysis(0.3)], "ap_tiny", "ap_tiny"),
    ],
)
def test_what_cannot_be_compared_is_refused(base, other, metric: str, said: str):
    with pytest.raises(ValueError, match=said):
        paired_difference(base, other, metric)


def test_a_figure_that_is_not_there_differs_by_nothing_known():
    nothing = analysis(np.nan)
    found = paired_difference([nothing], [nothing], "ap")
    assert np.isnan([found.value, found.low, found.high, found.p]).all()
    assert not found.outside


def test_objects_of_one_image_are_one_observation():
    """900 objects, but in too few images for an interval or a test."""
    base, other = [analysis(0.30, holding=5)], [analysis(0.60, seed=1, holding=5)]
    found = paired_difference(base, other, "ap")
    assert found.value == pytest.approx(0.3)
    assert np.isnan([found.low, found.high, found.p, found.base.low, found.base.high]).all()
    assert not found.outside


def test_fewer_images_that_hold_objects_widen_the_difference():
    widths = []
    for holding in (6, 20, 150):
        sides = [[analysis(0.3, seed=n, holding=holding)] for n in range(2)]
        found = paired_difference(*sides, "ap")
        widths.append((found.high - found.low, found.base.high - found.base.low))
    assert widths == sorted(widths, reverse=True)
    assert widths[0][0] > 1.2 * widths[2][0]


def test_measured_objects_of_one_image_give_no_interval():
    objects = [make_object([30 * n, 0, 10, 10]) for n in range(10)]
    objects += [make_object([0, 200, 100, 100], image=n) for n in range(1, 51)]
    sides = []
    for share in (5, 10):
        found = [make_detection(o["bbox"], 0.9) for o in objects[:share]]
        measured = measure_precision(make_set(objects, found, images=50), None, Report())
        sides.append([CellAnalysis(**vars(measured), errors=(), misses=())])
    difference = paired_difference(*sides, "ap_small")
    assert difference.value > 0.4
    assert np.isnan([difference.low, difference.p, difference.base.low]).all()
    assert not difference.outside


def test_measured_detectors_pair_image_by_image():
    """One finds what the other does and in one image of twenty an object more."""
    objects = [make_object([0, 0, 50, 50], image=n) for n in range(1, 21)]
    found = [make_detection([0, 0, 50, 50], 0.9, image=n) for n in range(1, 21)]
    sides = []
    for detections in (found[:10], found[:11]):
        given = make_set(objects, detections, images=20)
        measured = measure_precision(given, None, Report(resamples=1000))
        sides.append(CellAnalysis(**vars(measured), errors=(), misses=()))
    difference = paired_difference([sides[0]], [sides[1]], "ar_100")
    assert difference.value == pytest.approx(1 / 20)
    assert -0.02 < difference.low < 0.05 < difference.high < 0.25
    alone = difference.base.high - difference.base.low
    assert difference.high - difference.low < 0.6 * alone
