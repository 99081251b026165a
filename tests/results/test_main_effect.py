"""What one change is worth in the mean of several pairs of detectors."""

import math
from dataclasses import replace

import numpy as np
import pytest
from making_sides import ap, ap_of, exact, latency, sampled

from harness.results.difference import Difference, find_difference
from harness.results.estimate import Estimate
from harness.results.main_effect import Compared, main_effect


def pair(base: Estimate, other: Estimate) -> Compared:
    return Compared(base, other, find_difference(base, other, same_detector=False))


def shifted(base: Estimate, by: float) -> Estimate:
    """Better by so much on every image: the noise of both is the same."""
    parts = [replace(one, value=one.value + by, draws=one.draws + by) for one in base.sampled]
    return ap_of(parts)


def test_of_scores_it_is_the_mean_of_the_differences_in_the_same_resamples():
    small, large = ap(0.30, 0.05, seed=1), ap(0.40, 0.05, seed=2)
    pairs = [pair(small, shifted(small, 0.02)), pair(large, shifted(large, 0.04))]
    found = main_effect(pairs)
    assert (found.pairs, found.base) == (2, pytest.approx(0.35))
    assert found.difference.value == pytest.approx(0.03)
    # what base and other share cancels, whatever the noise of each: the interval has no width
    assert found.difference.low == pytest.approx(0.03) == found.difference.high
    assert found.difference.verdict == "better"


def test_the_noise_of_a_mean_is_less_than_that_of_one_pair():
    pairs = [pair(ap(0.3, 0.02, seed=2 * k), ap(0.32, 0.02, seed=2 * k + 1)) for k in range(9)]
    found = main_effect(pairs).difference
    widths = [one.difference.high - one.difference.low for one in pairs]
    assert (found.high - found.low) / np.mean(widths) == pytest.approx(1 / 3, rel=0.2)
    assert found.value == pytest.approx(0.02)


def test_an_effect_that_turns_from_pair_to_pair_is_noise_in_the_mean():
    one = pair(ap(0.3, 0.01, seed=1), ap(0.36, 0.01, seed=2))
    two = pair(ap(0.4, 0.01, seed=3), ap(0.34, 0.01, seed=4))
    assert [one.difference.verdict, two.difference.verdict] == ["better", "worse"]
    found = main_effect([one, two]).difference
    assert found.verdict == "noise"
    assert found.low < 0 < found.high


def test_seeds_that_overlap_in_the_mean_are_no_effect():
    base = ap_of([sampled(0.30, 0.001, 1), sampled(0.34, 0.001, 2)])
    other = ap_of([sampled(0.33, 0.001, 3), sampled(0.35, 0.001, 4)])
    found = main_effect([pair(base, other), pair(base, other)]).difference
    assert found.low > 0
    assert found.verdict == "noise"


def test_of_costs_it_is_the_geometric_mean_of_the_ratios():
    found = main_effect([pair(exact(100), exact(200)), pair(exact(400), exact(3200))])
    assert found.base == pytest.approx(200)
    assert found.difference.ratio == pytest.approx(4)
    assert found.difference.value == pytest.approx(600)
    assert found.difference.verdict == "worse"
    back = main_effect([pair(exact(200), exact(100)), pair(exact(100), exact(200))])
    assert back.difference.verdict == "equal"


def test_of_times_the_interval_is_narrower_than_that_of_a_pair():
    pairs = [
        pair(latency(ms, seed=2 * k), latency(ms * 0.9, seed=2 * k + 1))
        for k, ms in enumerate((10, 20, 40, 80))
    ]
    found = main_effect(pairs)
    assert found.base == pytest.approx(math.sqrt(800))
    assert found.difference.ratio == pytest.approx(0.9)
    assert found.difference.verdict == "better"
    relative = [(one.difference.high - one.difference.low) / one.base.value for one in pairs]
    own = (found.difference.high - found.difference.low) / found.base
    assert own == pytest.approx(np.mean(relative) / 2, rel=0.1)
    assert found.difference.low < found.difference.value < found.difference.high


def test_of_times_each_side_of_the_interval_is_its_own():
    found = Difference("better", -1.0, 0.9, -3.0, -0.5)
    pairs = [Compared(latency(10), latency(9), found)] * 2
    effect = main_effect(pairs).difference
    # on the log scale, and the root of two narrower than that of either pair
    down, up = (math.log(one) / math.sqrt(2) for one in (0.9 / 0.7, 0.95 / 0.9))
    assert effect.low == pytest.approx(10 * (0.9 * math.exp(-down) - 1))
    assert effect.high == pytest.approx(10 * (0.9 * math.exp(up) - 1))


def test_times_that_hardly_differ_are_noise():
    pairs = [pair(latency(10, seed=k), latency(10.1, seed=k + 9)) for k in range(2)]
    assert main_effect(pairs).difference.verdict == "noise"


@pytest.mark.parametrize("known", [0, 1])
def test_pairs_that_cannot_be_compared_are_left_out_and_one_is_no_mean(known: int):
    there, gone = pair(exact(1), exact(2)), pair(exact(1), exact(math.nan))
    found = main_effect([there] * known + [gone, gone])
    assert (found.difference.verdict, found.pairs) == ("missing", known)
    assert main_effect([there, there, gone]).pairs == 2


def test_without_the_detections_of_a_pair_there_is_a_mean_and_no_verdict():
    known, unread = pair(ap(0.3, 0.01), ap(0.4, 0.01)), pair(ap(0.3), ap(0.4))
    found = main_effect([known, unread]).difference
    assert found.verdict == "unknown"
    assert found.value == pytest.approx(0.1)
    assert not found.has_interval
    assert found.reasons == unread.difference.reasons


def test_pairs_on_other_images_have_no_resamples_in_common():
    one = pair(ap(0.3, 0.01), ap(0.4, 0.01))
    sides = (replace(side, pairing="others") for side in (ap(0.3, 0.01), ap(0.4, 0.01)))
    found = main_effect([one, pair(*sides)]).difference
    assert found.verdict == "unknown"
    assert [reason.code for reason in found.reasons] == ["images_differ"]


def test_numbers_without_a_sign_of_their_own_have_no_ratio():
    found = main_effect([pair(exact(0), exact(1)), pair(exact(1), exact(2))]).difference
    assert (found.verdict, found.has_interval) == ("unknown", False)


def test_what_the_pairs_leave_out_the_mean_leaves_out():
    found = main_effect([pair(ap(0.3, 0.01), ap(0.4, 0.01, seed=k)) for k in range(2)])
    assert [one.code for one in found.difference.caveats] == ["one_training"]
