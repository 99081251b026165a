"""Verdicts on two estimates."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from making_sides import (
    FEW_IMAGES,
    UNTRAINED,
    ap,
    ap_of,
    exact,
    latency,
    sampled,
    samples_of,
    spec,
)

from harness.plugin.metrics import Finding
from harness.results.difference import Difference, find_difference, hold_together
from harness.results.estimate import Estimate
from harness.results.protocol import Mismatch
from harness.results.run import known_metrics


def change(base: Estimate, other: Estimate, **how: object) -> Difference:
    return find_difference(base, other, **{"same_detector": True, **how})  # type: ignore[arg-type]


def reasons(found: Difference) -> list[str]:
    """As they read."""
    return [known_metrics().word(reason) for reason in found.reasons]


def codes(found: Difference) -> list[str]:
    return [reason.code for reason in found.reasons]


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
    assert reasons(found) == ["the detections of base cannot be read"]
    assert reasons(change(ap(0.1, 0.01), ap(0.9))) == ["the detections of other cannot be read"]
    assert reasons(change(ap(0.1), ap(0.9))) == ["the detections of both sides cannot be read"]


def test_draws_of_other_images_are_not_paired():
    found = change(ap(0.3, 0.01), replace(ap(0.5, 0.01), pairing="other"))
    assert found.verdict == "unknown"
    assert codes(found) == ["images_differ"]


def test_other_annotations_are_refused_by_name_and_marked_when_allowed():
    base, other = ap(0.3, 0.01), ap(0.5, 0.01, annotations_sha256="b" * 64)
    refused = change(base, other)
    assert refused.verdict == "refused"
    assert [m.name for m in refused.mismatches] == ["annotations"]
    allowed = change(base, other, allow_mismatch=True)
    assert allowed.verdict == "better"
    assert allowed.mismatches == refused.mismatches


def test_conditions_that_are_meant_to_differ_refuse_nothing():
    base, other = latency(10.0), latency(20.0, device="cuda")
    assert change(base, other).verdict == "refused"
    found = change(base, other, meant=("device",))
    assert (found.verdict, found.mismatches) == ("worse", ())


def test_units_are_never_mixed():
    giga = replace(exact(1.0), metric=replace(spec("macs_paper"), unit="GMACs"))
    found = change(exact(1.0), giga, allow_mismatch=True)
    assert found.verdict == "refused"
    assert reasons(found) == ["units differ: MMACs against GMACs"]


def test_counts_have_no_noise():
    assert change(exact(479.3), exact(479.3)).verdict == "equal"
    assert change(exact(479.3), exact(479.2)).verdict == "better"
    assert change(exact(479.3), exact(479.4)).verdict == "worse"


def test_a_count_without_a_better_side_has_changed():
    neither = replace(spec("macs_paper"), role="", better="")
    base, other = (replace(exact(value), metric=neither) for value in (1.0, 2.0))
    assert change(base, other).verdict == "changed"
    assert change(base, other).real


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


@pytest.mark.parametrize(("count", "code"), [(0, "no_samples"), (3, "few_samples_for_interval")])
def test_too_few_samples_leave_the_noise_unknown(count: int, code: str):
    found = change(latency(10.0, count), latency(20.0, count))
    assert found.verdict == "unknown"
    assert found.ratio == pytest.approx(2.0)
    assert codes(found) == [code]


def test_a_sample_that_is_not_positive_leaves_the_noise_unknown():
    stopped = replace(latency(10.0), samples=(*samples_of(10.0), 0.0))
    assert codes(change(stopped, latency(20.0))) == ["not_positive"]


def test_samples_that_drift_are_compared_by_all_that_was_seen():
    base, other = (
        replace(latency(m), samples=tuple(m + i / 60 for i in range(-30, 30)), conditions={})
        for m in (10.0, 20.0)
    )
    found = change(base, other)
    assert math.isnan(found.p)
    assert found.verdict == "worse"
    assert found.low < 10 < found.high


def over_seeds(*medians: float) -> Estimate:
    samples = [samples_of(median, 100, seed) for seed, median in enumerate(medians)]
    return replace(
        latency(medians[0]),
        value=sum(medians) / len(medians),
        seeds=dict(enumerate(medians)),
        samples=tuple(s for part in samples for s in part),
    )


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


def as_p90(estimate: Estimate) -> Estimate:
    return replace(estimate, metric=spec("latency_end_to_end_p90"))


def test_so_is_that_of_a_p90():
    base, other = (as_p90(over_seeds(*seeds)) for seeds in ((10.0, 10.001), (20.0, 20.002)))
    found = change(base, other)
    assert found.value == pytest.approx(other.value - base.value)
    assert found.low < found.value < found.high
    assert found.verdict == "worse"


def test_an_invalid_number_is_never_better_and_says_why():
    random = replace(ap(0.9, 0.001), level="invalid", reasons=(UNTRAINED,))
    for base, other in ((ap(0.3, 0.001), random), (random, ap(0.3, 0.001))):
        found = change(base, other, allow_mismatch=True)
        assert found.verdict == "invalid"
        assert not found.real
        assert reasons(found) == ["the weights are random: the detector was not trained"]
    assert change(ap(math.nan), random).verdict == "missing"


def test_a_doubtful_number_is_still_compared():
    few = replace(ap(0.9, 0.001), level="doubtful", reasons=(FEW_IMAGES,))
    assert change(ap(0.3, 0.001), few).verdict == "better"


def test_a_p90_is_compared_on_the_same_samples():
    base, other = (as_p90(latency(median, 200)) for median in (10, 20))
    found = change(base, other)
    assert found.verdict == "worse"
    assert found.ratio == pytest.approx(2.0)
    few = replace(other, samples=other.samples[:10])
    assert reasons(change(base, few)) == ["too few samples to bound a p90"]


def test_another_device_refuses_a_latency():
    found = change(latency(10.0), latency(10.0, device="cuda"))
    assert [str(m) for m in found.mismatches] == ["device: cpu against cuda"]


@pytest.mark.parametrize("missing", [Estimate(exact(1.0).metric), exact(math.nan)])
def test_no_number_is_no_difference(missing: Estimate):
    assert change(exact(1.0), missing).verdict == "missing"
    assert change(missing, exact(1.0)).verdict == "missing"


def test_overlapping_seeds_are_noise_though_the_images_agree():
    base = ap_of([sampled(0.28, 1e-3), sampled(0.34, 1e-3, 1)])
    other = ap_of([sampled(0.32, 1e-3, 2), sampled(0.36, 1e-3, 3)])
    found = change(base, other)
    assert found.verdict == "noise"
    assert found.low > 0
    assert reasons(found) == ["more than image noise, but the ranges of the seeds overlap"]


@given(st.floats(0.1, 1e6), st.floats(0.1, 1e6))
def test_swapping_exact_numbers_swaps_the_verdict(one: float, two: float):
    there, back = change(exact(one), exact(two)), change(exact(two), exact(one))
    swapped = {"better": "worse", "worse": "better", "equal": "equal"}
    assert back.verdict == swapped[there.verdict]
    assert back.value == -there.value or there.verdict == "equal"


def test_an_estimate_against_itself_is_never_a_difference():
    for estimate in (ap(0.3, 0.01), latency(10.0), exact(5.0)):
        assert not change(estimate, estimate).real


def test_a_spread_is_not_tested_with_the_samples_of_the_median():
    base, other = (
        replace(latency(median), metric=spec("latency_end_to_end_spread"))
        for median in (10.0, 20.0)
    )
    found = change(base, other)
    assert found.verdict == "unknown"
    assert reasons(found) == ["no test is known of such a number"]


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


@pytest.mark.parametrize(
    ("seeds", "code"), [((1, 1), "one_training"), ((1, 2), "one_training_of_one"), ((2, 2), None)]
)
def test_what_one_training_each_leaves_out_is_said(seeds: tuple[int, int], code: str | None):
    sides = [
        ap_of([sampled(value + n / 1000, 1e-3, n) for n in range(count)])
        for value, count in zip((0.3, 0.4), seeds, strict=True)
    ]
    assert [caveat.code for caveat in change(*sides).caveats] == ([code] if code else [])


def test_unlike_recipes_are_said_of_two_detectors_and_refused_of_one():
    def by(recipe: str, value: float) -> Estimate:
        made = ap(value, 1e-3)
        told = {"recipe": recipe} if recipe else {}
        return replace(made, conditions={**made.conditions, **told})

    plain, own = by("", 0.3), by("yolox", 0.4)
    found = find_difference(plain, own, same_detector=False)
    assert found.verdict == "better"
    unlike, _ = found.caveats
    assert unlike == Finding("unlike_recipes", "remark", {"base": "the suite's", "other": "yolox"})
    alike = find_difference(by("yolox", 0.3), own, same_detector=False)
    assert [caveat.code for caveat in alike.caveats] == ["one_training"]
    refused = find_difference(plain, own, same_detector=True)
    assert refused.verdict == "refused"
    assert [str(m) for m in refused.mismatches] == ["recipe: the suite's against yolox"]


def test_times_of_one_process_are_said_to_be_so():
    (caveat,) = change(latency(10.0), latency(20.0)).caveats
    assert caveat.code == "one_process"
    assert change(over_seeds(10.0, 10.1), over_seeds(20.0, 20.1)).caveats == ()


def test_images_needed_grow_as_the_difference_shrinks():
    some, many = (
        change(ap(0.30, 0.02), ap(0.30 + gain, 0.02, seed=1)).images_needed for gain in (0.03, 0.01)
    )
    assert some is not None
    assert many is not None
    assert 50 < some < many
    assert many / some == pytest.approx(9, rel=0.1)
    assert change(ap(0.3, 0.002), ap(0.4, 0.002, 1)).images_needed is None


def of_chance(chance: float) -> Difference:
    return Difference("better", 1.0, 1.1, 0.5, 1.5, chance, chance)


def test_of_many_comparisons_those_stand_that_holm_lets_stand():
    # 0.01 x 3, 0.02 x 2 and 0.049 x 1 are below 5 %
    standing = hold_together([of_chance(0.02), of_chance(0.049), of_chance(0.01)])
    assert [one.verdict for one in standing] == ["better"] * 3
    # 0.03 x 2 is not, nor does then what comes after it
    held = hold_together([of_chance(0.03), of_chance(0.01), of_chance(0.04)])
    assert [one.verdict for one in held] == ["noise", "better", "noise"]
    assert held[0].reasons == (Finding("not_among_many", "remark", {"comparisons": 3}),)
    assert reasons(held[0]) == ["significant on its own, but not among 3 comparisons"]


def test_what_has_no_p_stays_as_it_is_among_many():
    exactly = change(exact(1.0), exact(2.0))
    assert hold_together([exactly, of_chance(0.04), of_chance(0.04)])[0] == exactly
