"""Limits: how they are written, and on which side of them and of the noise a difference lies."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from making_sides import DRIFT, FEW_IMAGES, UNTRAINED, ap, exact, latency, side

from harness.errors import UserError
from harness.results.comparison import compare_sides
from harness.results.estimate import Estimate
from harness.results.gates import Gate, GateResult, parse_gate, unmet


def judge(gate: str, base: Estimate, other: Estimate, **how: object) -> GateResult:
    sides = [side("base", tiny=[base]), side("new", tiny=[other])]
    (result,) = compare_sides(sides, gates=[parse_gate(gate)], **how).gates
    return result


def test_the_parts_of_a_gate():
    assert parse_gate("ap_small >= -0.5") == Gate(
        "ap_small >= -0.5", "", "ap_small", False, -0.5, ""
    )
    gate = parse_gate(" tinydet_s:latency<=1.05X ")
    assert (gate.detector, gate.metric, gate.upper, gate.limit, gate.kind) == (
        "tinydet_s", "latency", True, 1.05, "x",
    )  # fmt: skip
    assert parse_gate("ap >= -2 %").kind == "%"


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("", "»"),
        ("ap", "ap»"),
        ("ap > 1", "ap »> 1"),
        ("ap >= much", "ap >= »much"),
        ("ap >= 1 2", "ap >= 1 »2"),
        (">= 1", "»>= 1"),
        ("ap <= 1.05y", "ap <= 1.05»y"),
    ],
)
def test_the_place_of_a_mistake_is_marked(text: str, marked: str):
    with pytest.raises(UserError) as caught:
        parse_gate(text)
    assert caught.value.where == f"--gate '{marked}'"
    assert "expected" in str(caught.value)


def test_a_ratio_is_positive():
    with pytest.raises(UserError, match="positive"):
        parse_gate("latency <= -1x")


@given(st.text(alphabet="ap:<>=-.5x% e", max_size=12))
def test_any_text_is_a_gate_or_the_users_mistake(text: str):
    try:
        gate = parse_gate(text)
    except UserError as error:
        place = error.where
    else:
        place = f"--gate {gate.metric}"
    assert place.startswith("--gate ")
    assert len(place) > len("--gate ")


def test_a_loss_beyond_limit_and_noise_is_missed():
    result = judge("ap >= -0.5", ap(0.40, 0.001), ap(0.38, 0.001, seed=1))
    assert result.verdict == "missed"
    assert "-2.00 points [" in result.line


def test_a_loss_beyond_the_limit_but_inside_the_noise_passes_and_says_so():
    result = judge("ap >= -0.5", ap(0.40, 0.05), ap(0.38, 0.05, seed=1))
    assert result.verdict == "passed"
    assert "inside the noise" in result.line


def test_a_real_loss_within_the_limit_passes():
    result = judge("ap >= -3", ap(0.40, 0.001), ap(0.38, 0.001, seed=1))
    assert result.verdict == "passed"
    assert "inside the noise" not in result.line


def test_unknown_noise_fails_beyond_the_limit_and_says_so():
    missed = judge("ap >= -0.5", ap(0.40), ap(0.38))
    assert missed.verdict == "missed"
    assert "the noise is unknown" in missed.line
    assert judge("ap >= -3", ap(0.40), ap(0.38)).verdict == "passed"


def test_limits_on_ratios_and_percent():
    base, other = latency(10.0), latency(11.0, seed=1)
    assert judge("latency <= 1.05x", base, other).verdict == "missed"
    assert judge("latency <= 1.2x", base, other).verdict == "passed"
    assert judge("latency_p50 <= 5%", base, other).verdict == "missed"
    assert judge("latency <= 1.5", base, other).verdict == "passed"
    assert judge("latency <= 0.5", base, other).verdict == "missed"


def test_a_difference_equal_to_the_limit_passes():
    assert judge("macs <= 10%", exact(100.0), exact(110.0)).verdict == "passed"
    assert judge("ap >= -2", ap(0.40), ap(0.38)).verdict == "passed"


def test_a_refused_row_cannot_be_judged():
    result = judge("ap >= -0.5", ap(0.4, 0.01), ap(0.4, 0.01, images=9))
    assert result.verdict == "not evaluable"
    assert "images: 50 against 9" in result.line
    assert unmet([result]) == ["ap >= -0.5"]


def test_an_invalid_number_decides_no_gate():
    random = replace(ap(0.9, 0.01), level="invalid", reasons=(UNTRAINED,))
    result = judge("ap >= -0.5", ap(0.4, 0.01), random)
    assert result.verdict == "not evaluable"
    assert result.line.endswith(
        "not evaluable: invalid (the weights are random: the detector was not trained)"
    )
    assert unmet([result]) == ["ap >= -0.5"]


def test_a_doubtful_number_decides_and_is_marked():
    few = replace(ap(0.2, 0.001), level="doubtful", reasons=(FEW_IMAGES,))
    result = judge("ap >= -0.5", ap(0.4, 0.001), few)
    assert result.verdict == "missed"
    assert result.line.endswith("], doubtful")


def test_detectors_of_one_side_share_a_line():
    base = side("base", a=[exact(1)], b=[exact(1)], c=[exact(1)])
    new = side("new", a=[exact(1)], d=[exact(1)])
    results = compare_sides([base, new], gates=[parse_gate("macs <= 1x")]).gates
    assert [result.line.split(": ", 1)[1] for result in results] == [
        "a, new: passed: 1.000x",
        "b, c: not evaluable: no number in new",
        "d: not evaluable: no number in base",
    ]


def test_a_ratio_to_nothing_cannot_be_judged():
    result = judge("ap >= 0.9x", ap(0.0), ap(0.4))
    assert result.verdict == "not evaluable"


def test_a_gate_counts_for_each_detector_and_side_or_the_one_named():
    base = side("base", a=[exact(1)], b=[exact(1)])
    sides = [base, side("one", a=[exact(1)], b=[exact(2)]), side("two", a=[exact(3)])]
    results = compare_sides(sides, gates=[parse_gate("macs <= 1x")]).gates
    assert [r.verdict for r in results] == ["passed", "missed", "missed", "not evaluable"]
    results = compare_sides(sides, gates=[parse_gate("b:macs <= 1x")]).gates
    assert [r.verdict for r in results] == ["missed", "not evaluable"]
    assert unmet(results) == ["b:macs <= 1x"]
    (absent,) = compare_sides(sides, gates=[parse_gate("c:macs <= 1x")]).gates
    assert absent.verdict == "not evaluable"


def test_an_unknown_metric_is_the_users_mistake():
    with pytest.raises(UserError, match="did you mean 'ap'"):
        judge("app >= 1", ap(0.4), ap(0.4))


def test_a_doubt_that_no_note_tells_stands_in_the_line():
    few = replace(ap(0.2, 0.001), level="doubtful", reasons=(FEW_IMAGES, DRIFT))
    result = judge("ap >= -0.5", ap(0.4, 0.001), few, metrics=["all"])
    assert result.line.endswith("], doubtful")
    sides = [side("base", a=[ap(0.4, 0.001), exact(1)]), side("new", a=[few, exact(1)])]
    (result,) = compare_sides(sides, ["macs"], gates=[parse_gate("ap >= -0.5")]).gates
    assert result.line.endswith("], doubtful (images: only 9 and 1 more reason)")


def test_a_detector_that_vanished_leaves_a_gate_unmet_and_a_new_one_does_not():
    both = side("both", a=[exact(1)], b=[exact(1)])
    one = side("one", a=[exact(1)])
    gates = [parse_gate("macs <= 1x")]
    assert unmet(compare_sides([both, one], gates=gates).gates) == ["macs <= 1x"]
    assert unmet(compare_sides([one, both], gates=gates).gates) == []
    assert unmet(compare_sides([both, one], only=["a"], gates=gates).gates) == []
    # of three sides one lacks it
    assert unmet(compare_sides([both, both, one], gates=gates).gates) == ["macs <= 1x"]


def test_so_does_a_number_that_became_invalid_or_was_measured_otherwise():
    good = ap(0.4, 0.01)
    random = replace(good, level="invalid", reasons=(UNTRAINED,))
    for spoilt in (random, ap(0.4, 0.01, images=9)):
        sides = [side("base", a=[good], b=[good]), side("new", a=[good], b=[spoilt])]
        found = compare_sides(sides, gates=[parse_gate("ap >= -1")]).gates
        assert [result.verdict for result in found] == ["passed", "not evaluable"]
        assert unmet(found) == ["ap >= -1"]


@pytest.mark.parametrize(
    "metric", ["latency", "latency_p99", "latency_network_p90", "throughput", "ap75", "ar_small"]
)
def test_a_known_metric_that_nobody_measured_is_not_evaluable(metric: str):
    result = judge(f"{metric} <= 2x", exact(1), exact(1))
    assert result.verdict == "not evaluable"
    assert unmet([result]) == [f"{metric} <= 2x"]


def test_so_is_that_of_an_area_range_of_the_manifest():
    base = side("base", a=[exact(1)])
    ranged = replace(base, catalog=base.catalog.with_ranges(["tiny"]))
    found = compare_sides([ranged, side("new", a=[exact(1)])], gates=[parse_gate("ap_tiny >= -1")])
    assert [result.verdict for result in found.gates] == ["not evaluable"]


@pytest.mark.parametrize("metric", ["latencyy", "latency_network_p", "ap_smal", "ar_7x"])
def test_a_name_that_nobody_knows_stays_a_mistake(metric: str):
    with pytest.raises(UserError, match="no side has the metric"):
        judge(f"{metric} >= 1", exact(1), exact(1))
