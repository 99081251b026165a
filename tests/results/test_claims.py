"""Verdicts on published figures: what can be told, and why the rest cannot."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from making_sides import analysis

from harness.errors import UserError
from harness.manifest.schema import Published
from harness.records.record import Record
from harness.results.ap.types import CellAnalysis, Sampled
from harness.results.claims import JudgedClaim, judge_claims, margin_of
from harness.results.run import Run, known_metrics

SHA = "a" * 64
DATA = {"classes": 80, "images": 5000, "boxes": 36335, "input": "320x320"}
CLAIM: dict[str, Any] = {
    "detector": "one",
    "metric": "ap",
    "value": 0.303,
    "unit": "AP",
    "split": "COCO val2017",
    "source": "a paper",
    "conditions": DATA,
}
PLAN: dict[str, Any] = {"classes": [str(i) for i in range(80)], "detectors": {"one": {}}}
EVALUATED: dict[str, Any] = {
    "annotations_sha256": SHA,
    "images": 5000,
    "boxes": 36335,
    "max_detections": 100,
    "classes": 80,
    "input": {"kind": "squash", "height": 320, "width": 320},
}
COUNTED = {"classes": 80, "input_size": "320x320", "proposals": 200}
COST: dict[str, Any] = {
    **CLAIM,
    "metric": "macs_paper",
    "value": 495,
    "unit": "MMACs",
    "conditions": {"classes": 80, "input": "320x320", "proposals": 200},
}


def record(value: float, metric: str = "ap", unit: str = "AP", **changes: Any) -> Record:
    given: dict[str, Any] = {
        "run": "r",
        "detector": "one",
        "seed": 0,
        "stage": metric,  # a cell of its own
        "fingerprint": "f",
        "time": 1.0,
        "environment": "e",
        "weights": "w",
        "metric": metric,
        "value": value,
        "unit": unit,
        "conditions": EVALUATED,
    }
    return Record(kind="measurement", **{**given, **changes})


def run_of(*records: Record, analyses: Any = None, **plan: Any) -> Run:
    """Each record in a cell of its own."""
    lines = []
    for each in records:
        lines += [each, replace(each, kind="cell", metric="")]
    return Run(
        Path("run"), {**PLAN, **plan}, tuple(lines), known_metrics(), analyses=analyses or {}
    )


def score(low: float, high: float) -> Sampled:
    """A score whose 95 % interval over 5,000 images is that, of draws that are evenly spread."""
    middle, half = (low + high) / 2, (high - low) / 2
    return Sampled(middle, middle + half / 0.95 * np.linspace(-1, 1, 10_001), 36335, 5000)


def scored(low: float = 0.29, high: float = 0.31) -> CellAnalysis:
    return analysis({"ap": score(low, high)})


def judge(
    claim: dict[str, Any], *records: Record, analyses: Any = None, **plan: Any
) -> JudgedClaim:
    given = {("one", 0): scored()} if analyses is None else analyses
    (verdict,) = judge_claims(run_of(*records, analyses=given, published=[claim], **plan))
    return verdict


def counted(value: float, **conditions: Any) -> Record:
    return record(value, "macs_paper", "MMACs", conditions={**COUNTED, **conditions})


def test_a_published_ap_within_the_interval_is_reproduced() -> None:
    found = judge(CLAIM, record(0.3))
    assert (found.verdict, found.reason) == (
        "reproduced",
        "the published figure lies within the interval",
    )
    measured = found.measured
    assert (measured.value, measured.count) == (0.3, 1)
    assert (measured.low, measured.high) == pytest.approx((0.29, 0.31), abs=1e-5)
    assert (found.expected, measured.metric.unit) == (0.303, "AP")
    assert math.isnan(measured.spread)
    assert found.claim.source == "a paper"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.2802, 0.3026, "reproduced"),  # 0.303 stands for 0.3025 to 0.3035
        (0.2802, 0.3024, "not reproduced"),
        (0.3034, 0.33, "reproduced"),
        (0.3036, 0.33, "not reproduced"),
    ],
)
def test_the_interval_counts_with_the_rounding(low: float, high: float, verdict: str) -> None:
    found = judge(CLAIM, record((low + high) / 2), analyses={("one", 0): scored(low, high)})
    assert found.verdict == verdict


def test_a_hash_alone_identifies_data() -> None:
    claim = {**CLAIM, "conditions": {"annotations_sha256": SHA, "input": "320x320"}}
    assert judge(claim, record(0.3)).verdict == "reproduced"
    other = {**CLAIM, "conditions": {"annotations_sha256": "b" * 64, "input": "320x320"}}
    assert judge(other, record(0.3)).reason == (
        f"other data or split (annotation file): {'a' * 12} here, {'b' * 12} published"
    )


@pytest.mark.parametrize(
    ("conditions", "here", "reason"),
    [
        (DATA, {"classes": 3}, "other data (number of classes): 3 here, 80 published"),
        (
            DATA,
            {"images": 206},
            "other data or split (number of images): 206 here, 5,000 published",
        ),
        (DATA, {"boxes": 7}, "other data or split (number of boxes): 7 here, 36,335 published"),
        (
            DATA,
            {"input": {"kind": "squash", "height": 512, "width": 512}},
            "other input size: 512x512 here, 320x320 published",
        ),
        (
            DATA,
            {"max_detections": 300},
            "other number of detections per image: 300 here, 100 in COCO",
        ),
        ({}, {}, "the claim does not say what identifies its data"),
        (
            {"classes": 80, "images": 5000, "input": "320x320"},
            {},
            "the claim does not say what identifies its data",
        ),
        ({"annotations_sha256": SHA}, {}, "the claim does not say its input size"),
        ({**DATA, "proposals": 200}, {}, "the measurement does not say its number of proposals"),
    ],
)
def test_an_ap_of_other_or_unknown_data_is_not_comparable(
    conditions: dict[str, Any], here: dict[str, Any], reason: str
) -> None:
    claim = {**CLAIM, "conditions": conditions}
    found = judge(claim, record(0.303, conditions={**EVALUATED, **here}))
    assert (found.verdict, found.reason) == ("not comparable", reason)
    assert found.measured.value == 0.303


def test_boxes_are_those_of_all_sizes() -> None:
    claim = {**CLAIM, "metric": "ap_small", "value": 0.3}
    small = record(0.3, "ap_small", stage="ap", conditions={**EVALUATED, "boxes": 15000})
    whole = record(0.4)
    lines = (small, whole, replace(whole, kind="cell", metric=""))
    run = Run(Path("run"), {**PLAN, "published": [claim]}, lines, known_metrics())
    (found,) = judge_claims(run)
    assert (found.verdict, found.reason) == ("reproduced", "equal within rounding")


def test_untrained_weights_say_nothing_of_a_published_ap() -> None:
    found = judge(CLAIM, record(0.303, weights=""))
    assert found.verdict == "not comparable"
    assert "not trained" in found.reason


def test_what_was_not_measured_has_no_value() -> None:
    found = judge(CLAIM, counted(495))
    assert (found.verdict, found.reason) == ("not comparable", "not measured here")
    assert not found.measured.is_there
    assert math.isnan(found.measured.low)
    assert not judge(CLAIM, record(math.nan)).measured.is_there


def test_without_an_interval_only_equality_can_be_told() -> None:
    assert judge(CLAIM, record(0.3031), analyses={}).verdict == "reproduced"
    found = judge(CLAIM, record(0.3), analyses={})
    assert (found.verdict, found.reason) == (
        "not comparable",
        "the measured value has no interval",
    )


def test_several_seeds_are_judged_by_the_interval_of_their_mean() -> None:
    rising = np.linspace(0.2, 0.3, 101)
    one = analysis({"ap": Sampled(0.25, rising, 100, 100)})
    two = analysis({"ap": Sampled(0.35, 0.6 - rising, 100, 100)})
    records = [record(0.25), record(0.35, seed=1)]
    found = judge(CLAIM, *records, analyses={("one", 0): one, ("one", 1): two})
    assert (found.measured.value, found.measured.count) == (pytest.approx(0.3), 2)
    assert found.measured.spread == pytest.approx(0.1 / math.sqrt(2))
    # one rises as the other falls: their mean is 0.3 in every resample
    assert (found.measured.low, found.measured.high) == pytest.approx((0.3, 0.3))
    assert found.verdict == "not reproduced"
    unpaired = {("one", 0): one, ("one", 1): replace(two, pairing="q")}
    assert judge(CLAIM, *records, analyses=unpaired).reason == "the measured value has no interval"
    assert judge(CLAIM, *records, analyses={("one", 0): one}).verdict == "not comparable"


def test_one_seed_on_other_data_spoils_all() -> None:
    other = record(0.3, seed=1, conditions={**EVALUATED, "images": 10})
    assert judge(CLAIM, record(0.3), other).reason.startswith(
        "other data or split (number of images): 10 "
    )


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(495.045, "reproduced"), (495.4, "reproduced"), (496.1, "not reproduced")],
)
def test_a_cost_is_reproduced_to_its_published_digits(value: float, verdict: str) -> None:
    found = judge(COST, counted(value))
    assert found.verdict == verdict
    if verdict == "not reproduced":
        assert found.reason == "+1.1 from the published figure"


def test_a_stated_tolerance_widens_rounding() -> None:
    found = judge({**COST, "tolerance": 2}, counted(496.9))
    assert (found.verdict, found.reason) == ("reproduced", "equal within the stated tolerance")
    assert judge({**COST, "tolerance": 1}, counted(496.9)).verdict == "not reproduced"


@pytest.mark.parametrize(
    ("here", "reason"),
    [
        ({"classes": 3}, "other number of classes: 3 here, 80 published"),
        ({"input_size": "512x512"}, "other input size: 512x512 here, 320x320 published"),
        (
            {"proposals": 150},
            "other number of proposals: 150 here, 200 published",
        ),
    ],
)
def test_a_cost_of_another_thing_is_not_comparable(here: dict[str, Any], reason: str) -> None:
    found = judge(COST, counted(495, **here))
    assert (found.verdict, found.reason) == ("not comparable", reason)


@pytest.mark.parametrize("left_out", ["classes", "input", "proposals"])
def test_a_cost_claim_must_say_what_it_was_counted_for(left_out: str) -> None:
    said = {k: v for k, v in COST["conditions"].items() if k != left_out}
    found = judge({**COST, "conditions": said}, counted(495))
    assert found.verdict == "not comparable"
    assert found.reason.startswith("the claim does not say its ")


def test_units_convert_only_where_the_claim_says_how() -> None:
    claim = {**COST, "value": 0.99, "unit": "GFLOPs"}
    found = judge(claim, counted(495))
    assert (found.verdict, found.reason) == (
        "not comparable",
        "other unit: GFLOPs published, MMACs here",
    )
    assert math.isnan(found.expected)
    found = judge({**claim, "factor": 500}, counted(497.4))  # two operations a multiply-add
    assert found.expected == pytest.approx(495)
    assert found.verdict == "reproduced"  # 0.99 stands for 0.985 to 0.995
    assert judge({**claim, "factor": 500}, counted(497.6)).verdict == "not reproduced"


def test_parameters_depend_on_classes_alone() -> None:
    claim = {**COST, "metric": "parameters", "value": 3.44, "unit": "M"}
    claim["conditions"] = {"classes": 80}
    found = record(3.44006, "parameters", "M", conditions={"classes": 80})
    assert judge(claim, found).verdict == "reproduced"


def test_classes_that_are_not_recorded_are_the_plans() -> None:
    without = {k: v for k, v in EVALUATED.items() if k != "classes"}
    assert judge(CLAIM, record(0.3, conditions=without)).verdict == "reproduced"
    fewer = judge(CLAIM, record(0.3, conditions=without), classes=["cell"])
    assert fewer.reason == "other data (number of classes): 1 here, 80 published"
    sizeless = {k: v for k, v in EVALUATED.items() if k != "input"}
    found = judge(CLAIM, record(0.3, conditions=sizeless))
    assert found.reason == "the measurement does not say its input size"


def test_a_latency_claim_must_name_its_device() -> None:
    claim = {**COST, "metric": "latency_end_to_end_p50", "unit": "ms", "value": 5.0}
    timed = {"device": "d", "precision": "float32", "mode": "eager", "batch_size": 1}
    here = record(5.04, claim["metric"], "ms", conditions={**timed, "input": EVALUATED["input"]})
    claim["conditions"] = {**timed, "input": "320x320"}
    assert judge(claim, here).verdict == "reproduced"
    claim["conditions"] = {**timed, "device": "phone", "input": "320x320"}
    assert judge(claim, here).reason == "other device: d here, phone published"
    claim["conditions"] = {"input": "320x320"}
    assert judge(claim, here).reason == "the claim does not say its device"


def test_a_claim_about_a_metric_that_nobody_declares_must_say_something() -> None:
    claim = {**COST, "metric": "energy", "unit": "J", "conditions": {}}
    here = record(495, "energy", "J", conditions={"device": "d"})
    assert judge(claim, here).reason == "the claim does not say what it holds for"
    assert judge({**claim, "conditions": {"device": "d"}}, here).verdict == "reproduced"


@pytest.mark.parametrize(
    ("changes", "margin"),
    [
        ({"value": 495}, 0.5),
        ({"value": 2400.0}, 0.5),
        ({"value": 0.3, "unit": "AP"}, 0.0005),
        ({"value": 0.26, "decimals": 4}, 0.00005),
        ({"value": 0.583}, 0.0005),
        ({"value": 3e-07}, 5e-08),
        ({"value": 0.583, "tolerance": 0.01}, 0.01),
        ({"value": 0}, 0.5),
    ],
)
def test_margins(changes: dict[str, Any], margin: float) -> None:
    claim = Published.model_validate({**COST, **changes})
    assert margin_of(claim) == pytest.approx(margin)


@given(st.floats(0, 1), st.floats(0, 1))
def test_ap_verdicts_follow_the_interval(low: float, high: float) -> None:
    low, high = sorted((low, high))
    found = judge(CLAIM, record((low + high) / 2), analyses={("one", 0): scored(low, high)})
    assert found.verdict in ("reproduced", "not reproduced")
    if low <= 0.303 <= high:
        assert found.verdict == "reproduced"
    elif high < 0.3024 or low > 0.3036:
        assert found.verdict == "not reproduced"


def test_a_plan_without_claims_has_no_verdicts() -> None:
    assert judge_claims(run_of(record(0.3))) == ()


def test_a_broken_plan_is_a_users_mistake() -> None:
    with pytest.raises(UserError, match="no usable 'published'"):
        judge_claims(run_of(record(0.3), published=[{"detector": "one"}]))


def test_every_claim_of_the_suite_states_what_it_needs() -> None:
    """On the very thing it was published for, no claim fails for want of words."""
    suite = yaml.safe_load((Path(__file__).parents[2] / "suites" / "tinydet.yaml").read_text())
    silent = []
    for claim in map(Published.model_validate, suite["published"]):
        said = claim.conditions
        assert said.classes is not None, claim
        if claim.metric != "parameters":
            assert said.input is not None, claim
        if claim.metric == "ap" and said.boxes is None:
            silent.append(claim.split)
    assert set(silent) == {"COCO test-dev2017"}  # nobody can score there at home
