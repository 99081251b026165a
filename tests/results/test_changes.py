"""Verdicts on two figures."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from making_sides import analysis, ap, exact, latency

from harness.results.changes import find_change
from harness.results.protocol import Mismatch
from harness.results.types import Figure


def change(base: Figure | None, other: Figure | None, **how: object):
    return find_change(base, other, **{"same_detector": True, **how})


def test_a_gain_beyond_the_noise_is_better_and_swapped_it_is_worse():
    low, high = ap(0.30, 0.002), ap(0.35, 0.002, seed=1)
    assert change(low, high).verdict == "better"
    assert change(high, low).verdict == "worse"
    found = change(low, high)
    assert found.value == pytest.approx(0.05)
    assert found.low < 0.05 < found.high
    assert found.real


def test_a_p_that_resamples_cannot_resolve_is_an_upper_limit():
    assert change(ap(0.30, 0.002), ap(0.35, 0.002, seed=1)).p_is_limit
    assert not change(ap(0.30, 0.1), ap(0.32, 0.1, seed=1)).p_is_limit


def test_a_gain_within_the_noise_is_noise():
    found = change(ap(0.30, 0.1), ap(0.32, 0.1, seed=1))
    assert found.verdict == "noise"
    assert found.low < 0 < found.high


def test_ap_without_detections_has_unknown_noise_however_large_the_gain():
    found = change(ap(0.1), ap(0.9, 0.01))
    assert found.verdict == "unknown"
    assert math.isnan(found.low)
    assert found.value == pytest.approx(0.8)
    assert found.note == "the detections of base cannot be read"
    assert change(ap(0.1), ap(0.9)).note == "the detections of both sides cannot be read"


def test_analyses_of_other_images_are_not_paired():
    other = replace(ap(0.5), analyses=(analysis(0.5, 0.01, pairing="other"),))
    found = change(ap(0.3, 0.01), other)
    assert found.verdict == "unknown"
    assert "same images" in found.note


def test_other_annotations_are_refused_by_name_and_marked_when_allowed():
    base, other = ap(0.3, 0.01), ap(0.5, 0.01, annotations_sha256="b" * 64)
    refused = change(base, other)
    assert refused.verdict == "refused"
    assert [m.name for m in refused.mismatches] == ["annotations"]
    allowed = change(base, other, allow_mismatch=True)
    assert allowed.verdict == "better"
    assert allowed.mismatches == refused.mismatches


def test_units_are_never_mixed():
    found = change(exact(1.0), exact(1.0, unit="GMACs"), allow_mismatch=True)
    assert found.verdict == "refused"
    assert found.note == "units differ: MMACs against GMACs"


def test_counts_have_no_noise():
    assert change(exact(479.3), exact(479.3)).verdict == "equal"
    assert change(exact(479.3), exact(479.2)).verdict == "better"
    assert change(exact(479.3), exact(479.4)).verdict == "worse"


def test_a_slower_latency_is_worse_with_the_ratio_and_its_interval():
    found = change(latency(10.0), latency(11.0, seed=1))
    assert found.verdict == "worse"
    assert found.ratio == pytest.approx(1.1)
    assert found.low < 1.0 < found.high
    assert found.value == pytest.approx(1.0)


def test_a_difference_smaller_than_what_matters_is_noise():
    base, other = latency(10.0), latency(10.3, seed=1)
    assert change(base, other, smallest_effect=0.05).verdict == "noise"
    assert change(base, other, smallest_effect=0.005).verdict == "worse"


@pytest.mark.parametrize("count", [0, 3])
def test_too_few_samples_leave_the_noise_unknown(count: int):
    found = change(latency(10.0, count), latency(20.0, count))
    assert found.verdict == "unknown"
    assert found.ratio == pytest.approx(2.0)


def test_samples_that_drift_are_compared_by_all_that_was_seen():
    base, other = (
        Figure(
            "latency_end_to_end_p50", "ms", False, (m,), tuple(m + i / 60 for i in range(-30, 30))
        )
        for m in (10.0, 20.0)
    )
    found = change(base, other)
    assert math.isnan(found.p)
    assert found.verdict == "worse"
    assert found.low < 10 < found.high


def over_seeds(*medians: float) -> Figure:
    parts = [latency(median, 100, seed) for seed, median in enumerate(medians)]
    samples = tuple(s for part in parts for s in part.samples)
    return replace(parts[0], seeds=medians, samples=samples)


def test_of_several_seeds_the_change_is_that_of_the_values_shown():
    base, other = over_seeds(10.0, 10.0, 16.0), over_seeds(10.0, 16.0, 16.0)
    found = change(base, other)
    # the median of all samples goes from 10 to 16, the mean of the medians from 12 to 14
    assert found.ratio == pytest.approx(14 / 12)
    assert found.value == pytest.approx(2)
    assert found.low < 2 < found.high
    assert found.verdict == "noise"
    real = change(base, over_seeds(30.0, 30.0, 48.0))
    assert real.ratio == pytest.approx(3)
    assert real.verdict == "worse"


def test_so_is_that_of_a_p90():
    base, other = (
        replace(over_seeds(*seeds), metric="latency_end_to_end_p90")
        for seeds in ((10.0, 10.001), (20.0, 20.002))
    )
    found = change(base, other)
    assert found.value == pytest.approx(other.value - base.value)
    assert found.low < found.value < found.high
    assert found.verdict == "worse"


def test_an_invalid_number_is_never_better_and_says_why():
    random = replace(ap(0.9, 0.001), level="invalid", doubts=("the weights are random",))
    for base, other, who in ((ap(0.3, 0.001), random, "other"), (random, ap(0.3, 0.001), "base")):
        found = change(base, other, allow_mismatch=True)
        assert found.verdict == "invalid"
        assert not found.real
        assert found.note == f"{who}: the weights are random"
    assert change(ap(math.nan), random).verdict == "missing"


def test_a_doubtful_number_is_still_compared():
    few = replace(ap(0.9, 0.001), level="doubtful", doubts=("on only 9 images",))
    assert change(ap(0.3, 0.001), few).verdict == "better"


def test_a_p90_is_compared_on_the_same_samples():
    base, other = (
        replace(f, metric="latency_end_to_end_p90") for f in (latency(10, 200), latency(20, 200))
    )
    found = change(base, other)
    assert found.verdict == "worse"
    assert found.ratio == pytest.approx(2.0)
    few = replace(other, samples=other.samples[:10])
    assert change(base, few).verdict == "unknown"


def test_another_device_refuses_a_latency():
    found = change(latency(10.0), latency(10.0, device="cuda"))
    assert [str(m) for m in found.mismatches] == ["device: cpu against cuda"]


@pytest.mark.parametrize("missing", [None, exact(math.nan)])
def test_no_number_is_no_difference(missing: Figure | None):
    assert change(exact(1.0), missing).verdict == "missing"
    assert change(missing, exact(1.0)).verdict == "missing"


def test_the_mean_leaves_out_seeds_without_a_number():
    assert Figure("ap", "AP", True, (0.2, math.nan, 0.4)).value == pytest.approx(0.3)
    assert math.isnan(Figure("ap", "AP", True, (math.nan,)).value)


def test_overlapping_seeds_are_noise_though_the_images_agree():
    base = replace(
        ap(0.3), seeds=(0.28, 0.34), analyses=(analysis(0.28, 1e-3), analysis(0.34, 1e-3, 1))
    )
    other = replace(
        ap(0.3), seeds=(0.32, 0.36), analyses=(analysis(0.32, 1e-3, 2), analysis(0.36, 1e-3, 3))
    )
    found = change(base, other)
    assert found.verdict == "noise"
    assert found.low > 0
    assert found.note == "the seeds' ranges overlap"


@given(st.floats(0.1, 1e6), st.floats(0.1, 1e6))
def test_swapping_exact_numbers_swaps_the_verdict(one: float, two: float):
    there, back = change(exact(one), exact(two)), change(exact(two), exact(one))
    swapped = {"better": "worse", "worse": "better", "equal": "equal"}
    assert back.verdict == swapped[there.verdict]
    assert back.value == -there.value or there.verdict == "equal"


def test_a_figure_against_itself_is_never_a_difference():
    for figure in (ap(0.3, 0.01), latency(10.0), exact(5.0)):
        assert not change(figure, figure).real


def test_a_spread_is_not_tested_with_the_samples_of_the_median():
    base, other = (
        replace(latency(median), metric="latency_end_to_end_spread") for median in (10.0, 20.0)
    )
    found = change(base, other)
    assert found.verdict == "unknown"
    assert found.note == "no test is known of such a number"


def test_seeds_that_were_not_measured_alike_refuse_a_mean():
    mixed = replace(latency(20.0), mixed=(Mismatch("device", "cpu", "cuda"),))
    for base, other, said in (
        (latency(10.0), mixed, "device of other's seeds: cpu against cuda"),
        (mixed, latency(10.0), "device of base's seeds: cpu against cuda"),
    ):
        found = change(base, other)
        assert found.verdict == "refused"
        assert [str(m) for m in found.mismatches] == [said]
        allowed = change(base, other, allow_mismatch=True)
        assert allowed.real
        assert allowed.mismatches == found.mismatches
