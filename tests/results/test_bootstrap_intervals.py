"""Resamples, intervals and p-values of figures whose answer is known."""

import numpy as np
import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st
from scipy.stats import norm
from scipy.stats import t as student

from harness.results.ap.bootstrap import draw_weights, find_interval, find_p


def test_a_resample_draws_as_many_images_as_there_are():
    weights = draw_weights(50, 200, seed=1)
    assert weights.shape == (200, 50)
    assert (weights >= 0).all()
    assert (weights.sum(axis=1) == 50).all()
    assert abs(weights.mean(axis=0) - 1).max() < 0.3


def test_resamples_follow_the_seed():
    np.testing.assert_array_equal(draw_weights(9, 5, seed=3), draw_weights(9, 5, seed=3))
    assert (draw_weights(9, 5, seed=3) != draw_weights(9, 5, seed=4)).any()


def test_the_interval_of_a_mean():
    """Student's own, as the replicates of a mean are close to normal."""
    sample = np.random.default_rng(0).normal(5, 2, 40)
    replicates = draw_weights(40, 20_000, seed=0) @ sample / 40
    expected = student.interval(0.95, 39, sample.mean(), sample.std(ddof=1) / np.sqrt(40))
    assert find_interval(sample.mean(), replicates, 40) == pytest.approx(expected, abs=0.02)


def test_the_bias_of_resamples_is_taken_off():
    replicates = norm.ppf(np.linspace(0.001, 0.999, 999))
    low, high = find_interval(10.0, replicates + 13, 10**6)
    assert (low, high) == pytest.approx((10 - 1.96, 10 + 1.96), abs=0.03)


@for_any(st.integers(6, 500), st.floats(-1, 1), st.integers(0, 1000))
def test_few_images_widen_the_interval(images: int, value: float, seed: int):
    replicates = np.random.default_rng(seed).normal(value, 0.1, 300)
    low, high = find_interval(value, replicates, images)
    many = find_interval(value, replicates, 10 * images)
    assert low <= many[0] < value < many[1] <= high


def test_p_of_a_mean():
    sample = np.random.default_rng(2).normal(0.5, 2, 40)
    replicates = draw_weights(40, 20_000, seed=0) @ sample / 40
    statistic = sample.mean() / (sample.std(ddof=1) / np.sqrt(40))
    expected = 2 * student.sf(abs(statistic), 39)
    assert find_p(sample.mean(), replicates, 40) == pytest.approx(expected, abs=0.015)


def test_p_is_never_zero_and_one_where_nothing_differs():
    assert find_p(0.0, np.zeros(1000), 100) == 1
    assert 0 < find_p(1.0, np.ones(1000), 10**6) == pytest.approx(2 / 1001, rel=0.01)


@for_any(st.floats(-3, 3), st.integers(0, 1000))
def test_p_knows_no_side(value: float, seed: int):
    replicates = np.random.default_rng(seed).normal(value, 1, 200)
    assert find_p(value, replicates, 50) == pytest.approx(find_p(-value, -replicates, 50))


@pytest.mark.parametrize(
    ("value", "replicates", "images"),
    [
        (np.nan, np.ones(100), 50),
        (0.5, np.full(100, np.nan), 50),
        (0.5, np.where(np.arange(100) < 50, np.nan, 0.5), 50),
        (0.5, np.full(100, 0.5), 1),
        (0.5, np.linspace(0.4, 0.6, 100), 5),
    ],
)
def test_no_interval_can_be_had(value: float, replicates: np.ndarray, images: int):
    assert np.isnan(find_interval(value, replicates, images)).all()
    assert np.isnan(find_p(value, replicates, images))


def test_an_interval_takes_six_images():
    """Of five, the sign test's smallest p is 1/16; of six, 1/32."""
    replicates = np.random.default_rng(0).normal(0.5, 0.1, 1000)
    assert np.isnan(find_interval(0.5, replicates, 5)).all()
    assert np.isnan(find_p(0.5, replicates, 5))
    low, high = find_interval(0.5, replicates, 6)
    assert low < 0.5 < high
    assert find_p(0.5, replicates, 6) < 0.05


def test_resamples_without_ground_truth_are_left_out():
    replicates = np.random.default_rng(0).normal(0.5, 0.1, 100)
    some = np.concatenate([replicates, np.full(40, np.nan)])
    assert find_interval(0.5, some, 9) == find_interval(0.5, replicates, 9)
