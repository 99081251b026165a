"""Percentiles with intervals, two series compared: known cases, and how often they are right."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from harness.results.samples.autocorrelation import effective_fraction
from harness.results.samples.medians import compare_latency
from harness.results.samples.percentiles import percentile, percentile_interval, samples_needed

SIGMA = 0.2
times = st.lists(st.floats(0.1, 100), min_size=8, max_size=60)


def series(rng: np.random.Generator, count: int, correlation: float = 0.0) -> NDArray[np.float64]:
    """Lognormal times of median 1; the logarithms are a first-order autoregression."""
    steps = rng.standard_normal(count)
    for i in range(1, count):
        steps[i] = correlation * steps[i - 1] + math.sqrt(1 - correlation**2) * steps[i]
    return np.exp(SIGMA * steps)


def test_bounds_of_the_median_of_ten_are_the_second_and_the_ninth() -> None:
    # of ten coins, P(at most one head) = 11 / 1024 and P(at most two) = 56 / 1024 > 0.025
    shuffled = [7.0, 2, 9, 4, 1, 10, 3, 8, 5, 6]
    assert effective_fraction(np.array(shuffled)) == 1
    assert percentile_interval(shuffled, 50) == (2, 9)
    assert percentile(shuffled, 50) == 5.5


def test_fewest_samples() -> None:
    # both bounds exist when 0.5^n, 0.9^n, 0.99^n come down to 0.025
    assert [samples_needed(p) for p in (50, 90, 10, 99)] == [6, 36, 36, 368]


@pytest.mark.parametrize(("percent", "fewest"), [(50, 6), (90, 36), (99, 368)])
def test_too_few_samples_have_no_interval(percent: float, fewest: int) -> None:
    shuffled = np.random.default_rng(5).permutation(np.arange(1.0, fewest + 1)).tolist()
    assert np.isnan(percentile_interval(shuffled[1:], percent)).all()
    low, high = percentile_interval(shuffled, percent)
    assert low < percentile(shuffled, percent) <= high == fewest


def test_a_percentile_is_the_recorded_one() -> None:
    assert percentile([1.0, 2.0, 4.0, 8.0], 90) == np.percentile([1, 2, 4, 8], 90)
    assert math.isnan(percentile([], 50))
    with pytest.raises(ValueError, match="between 0 and 100"):
        percentile_interval([1.0] * 10, 100)


@given(times, st.sampled_from([25.0, 50.0, 75.0]))
def test_an_interval_holds_its_percentile(samples: list[float], percent: float) -> None:
    low, high = percentile_interval(samples, percent)
    if not math.isnan(low):
        assert low in samples
        assert high in samples
        assert low <= percentile(samples, percent) <= high


@given(times, times)
def test_swapping_the_series_inverts_the_ratio(one: list[float], two: list[float]) -> None:
    there, back = compare_latency(one, two), compare_latency(two, one)
    assert there.ratio == pytest.approx(1 / back.ratio)
    assert there.low == pytest.approx(1 / back.high, nan_ok=True)
    assert there.p == pytest.approx(back.p, nan_ok=True)
    assert there.outside == back.outside
    assert there.effective == back.effective[::-1]


@given(times, st.floats(0.01, 100))
def test_the_unit_does_not_matter(samples: list[float], factor: float) -> None:
    base = [3.0, 1, 4, 1, 5, 9, 2, 6, 5, 3]
    one = compare_latency(base, samples)
    two = compare_latency([x * factor for x in base], [x * factor for x in samples])
    assert two.ratio == pytest.approx(one.ratio)
    assert two.low == pytest.approx(one.low, nan_ok=True)


def test_p_is_scipys_where_samples_are_independent() -> None:
    rng = np.random.default_rng(1)
    base, other = series(rng, 80), np.round(1.05 * series(rng, 60), 2)  # rounding makes ties
    found = compare_latency(base.tolist(), other.tolist())
    assert found.effective == (80, 60)
    known = stats.mannwhitneyu(base, other, method="asymptotic", use_continuity=False)
    score = stats.norm.isf(known.pvalue / 2)
    assert found.p == pytest.approx(2 * stats.t.sf(score, 138))


def test_a_large_difference_is_outside_and_a_tiny_one_is_not() -> None:
    rng = np.random.default_rng(1)
    base = series(rng, 400)
    slower = compare_latency(base.tolist(), (1.3 * series(rng, 400)).tolist())
    assert slower.outside
    assert slower.low < 1.3 < slower.high
    # certain, but one in a hundred
    quiet = 1 + 1e-4 * rng.standard_normal(400)
    tiny = compare_latency(quiet.tolist(), (1.01 * quiet[::-1]).tolist())
    assert tiny.p < 1e-9
    assert not tiny.outside
    assert compare_latency(quiet.tolist(), (1.01 * quiet).tolist(), smallest_effect=0.005).outside


def test_equal_constants_do_not_differ() -> None:
    same = compare_latency([2.0] * 20, [2.0] * 30)
    assert (same.ratio, same.low, same.high, same.p, same.outside) == (1, 1, 1, 1, False)


def test_two_samples_are_too_few_to_differ() -> None:
    found = compare_latency([1.0, 1.1], [9.0, 9.1])
    assert found.ratio == pytest.approx(9.05 / 1.05)
    assert math.isnan(found.p)
    assert math.isnan(found.low)
    assert not found.outside


def test_a_drift_makes_many_samples_worth_few() -> None:
    drifting = np.linspace(1, 2, 200)
    assert effective_fraction(drifting) * 200 < 6
    found = compare_latency(drifting.tolist(), (1.2 * drifting).tolist())
    assert math.isnan(found.p)
    assert not found.outside


def test_what_drifts_a_little_is_still_told_from_twice_as_much() -> None:
    drifting = np.linspace(10, 11, 200)
    found = compare_latency(drifting.tolist(), (2 * drifting).tolist())
    assert math.isnan(found.p)
    # 20 / 11 to 22 / 10 were seen, around 2
    assert found.low == pytest.approx((20 / 11) ** 2 / 2)
    assert found.high == pytest.approx((22 / 10) ** 2 / 2)
    assert found.outside


def test_runs_that_differ_among_themselves_are_not_told_apart() -> None:
    noise = 0.01 * np.random.default_rng(0).standard_normal((4, 50))
    runs = np.array([[10.0], [10.6], [10.3], [10.9]]) + noise
    found = compare_latency(runs[:2].ravel().tolist(), runs[2:].ravel().tolist())
    assert found.ratio > 1.02
    assert not found.outside


@pytest.mark.parametrize("bad", [[], [1.0, 0.0], [1.0, math.nan]])
def test_times_are_positive(bad: list[float]) -> None:
    with pytest.raises(ValueError, match=r"positive|no samples"):
        compare_latency([1.0, 2.0], bad)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
def test_effective_fraction_of_an_autoregression(correlation: float) -> None:
    rng = np.random.default_rng(0)
    found = [effective_fraction(np.log(series(rng, 2000, correlation))) for _ in range(40)]
    expected = (1 - correlation) / (1 + correlation)  # 1 / (1 + 2 x the sum of its powers)
    assert np.mean(found) == pytest.approx(expected, rel=0.15)


def test_swinging_samples_are_worth_no_more_than_their_number() -> None:
    assert effective_fraction(np.tile([1.0, 2.0], 50)) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("percent", "count", "correlation", "least"),
    [
        (50, 50, 0.0, 0.93),
        (50, 400, 0.0, 0.93),
        (90, 100, 0.0, 0.93),
        (99, 500, 0.0, 0.93),
        (50, 100, 0.5, 0.93),
        (90, 400, 0.5, 0.93),
        (50, 400, 0.8, 0.93),
    ],
)
def test_intervals_cover_the_truth(
    percent: float, count: int, correlation: float, least: float
) -> None:
    """95 % of 600 simulated series, within 2.6 standard errors below; wider is fine."""
    rng = np.random.default_rng(7)
    truth = math.exp(SIGMA * stats.norm.ppf(percent / 100))
    hits = []
    for _ in range(600):
        low, high = percentile_interval(series(rng, count, correlation).tolist(), percent)
        if not math.isnan(low):
            hits.append(low <= truth <= high)
    assert len(hits) > 300
    assert least <= np.mean(hits) <= 0.995


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "correlation"), [(50, 0.0), (100, 0.0), (400, 0.0), (100, 0.5), (400, 0.8)]
)
def test_no_difference_is_found_where_there_is_none(count: int, correlation: float) -> None:
    rng = np.random.default_rng(11)
    found = [
        compare_latency(
            series(rng, count, correlation).tolist(), series(rng, count, correlation).tolist()
        )
        for _ in range(300)
    ]
    rejected = np.mean([d.p < 0.05 for d in found])
    assert 0.01 <= rejected <= 0.085
    assert np.mean([d.low <= 1 <= d.high for d in found]) >= 0.94
    assert np.mean([d.outside for d in found]) <= 0.05


@pytest.mark.parametrize(("between", "within"), [(0.04, 0.02), (0.02, 0.002), (0.01, 0.02)])
def test_wobble_between_runs_seldom_passes_for_a_difference(between: float, within: float) -> None:
    """Two runs of 50 a side, one after the other, all of the same detector."""
    rng = np.random.default_rng(5)

    def two_runs() -> list[float]:
        levels = np.repeat(between * rng.standard_normal(2), 50)
        found: list[float] = np.exp(levels + within * rng.standard_normal(100)).tolist()
        return found

    outside = [compare_latency(two_runs(), two_runs()).outside for _ in range(300)]
    assert np.mean(outside) <= 0.08
