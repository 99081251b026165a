"""Which conditions keep two numbers from being compared."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.plugin.metrics import MetricSpec
from harness.results import protocol
from harness.results.protocol import NOT_RECORDED, Mismatch, find_mixed, show_value
from harness.results.run import known_metrics

SQUASH_320 = {"kind": "squash", "height": 320, "width": 320}
SQUASH_512 = {"kind": "squash", "height": 512, "width": 512}
EVALUATED: dict[str, Any] = {
    "annotations_sha256": "a" * 64,
    "images": 159,
    "evaluator": "faster-coco-eval 1.8.0",
    "iou_type": "bbox",
    "iou_thresholds": "0.50:0.05:0.95",
    "max_detections": 100,
    "area": "box",
    "boxes": 2082,
    "detections": 12018,
    "device_type": "cpu",
    "ops": "compiled-cpu",
    "precision": "float32",
    "classes": 3,
    "input": SQUASH_320,
    "score_threshold": 0.01,
    "nms": "NMS, IoU 0.5",
    "detections_per_image": 100,
}
TIMED: dict[str, Any] = {
    "device": "some CPU",
    "device_type": "cpu",
    "ops": "compiled-cpu",
    "clock": "perf_counter",
    "mode": "eager",
    "precision": "float32",
    "threads": 2,
    "batch_size": 1,
    "images": 16,
    "image_sizes": ["416x416", "480x640"],
    "input_sizes": ["320x320"],
    "input": SQUASH_320,
    "classes": 3,
    "load_average": 0.3,
    "other_cores": 0.1,
    "detections": 41.5,
    "warmup_runs": 10,
}
COUNTED: dict[str, Any] = {
    "rule": "conv + linear",
    "batch_size": 1,
    "input_size": "320x320",
    "proposals": 200,
    "proposals_valid": 200,
    "classes": 80,
    "input": SQUASH_320,
}

Found = tuple[Mismatch, ...]


def mismatches(
    metric: str, base: dict[str, Any], other: dict[str, Any], *, same_detector: bool
) -> Found:
    spec = known_metrics().spec(metric)
    return protocol.mismatches(spec, base, other, same_detector=same_detector)


def told(found: Found) -> list[tuple[str, str, str]]:
    return [(m.name, m.base, m.other) for m in found]


NUMBERS = [("ap", EVALUATED), ("latency_end_to_end_p50", TIMED), ("macs_paper", COUNTED)]


@pytest.mark.parametrize(("metric", "conditions"), NUMBERS)
@pytest.mark.parametrize("same", [True, False])
def test_equal_conditions_compare(metric: str, conditions: dict[str, Any], same: bool) -> None:
    again = json.loads(json.dumps(conditions))
    assert mismatches(metric, conditions, again, same_detector=same) == ()


@pytest.mark.parametrize(
    ("metric", "conditions", "changes", "expected"),
    [
        ("ap", EVALUATED, {"annotations_sha256": "b" * 64}, ("annotations", "a" * 12, "b" * 12)),
        ("ap_small", EVALUATED, {"area": "mask"}, ("area that decides the size", "box", "mask")),
        ("ar_100", EVALUATED, {"images": 80}, ("images", "159", "80")),
        (
            "ap50",
            EVALUATED,
            {"max_detections": 300},
            ("detections counted per image", "100", "300"),
        ),
        (
            "ap",
            EVALUATED,
            {"evaluator": "pycocotools 2.0.8"},
            ("evaluator", "faster-coco-eval 1.8.0", "pycocotools 2.0.8"),
        ),
        ("latency_network_p50", TIMED, {"device": "a GPU"}, ("device", "some CPU", "a GPU")),
        ("latency_end_to_end_p99", TIMED, {"mode": "compiled"}, ("mode", "eager", "compiled")),
        ("throughput", TIMED, {"batch_size": 8}, ("batch size", "1", "8")),
        ("throughput", TIMED, {"threads": 1}, ("threads", "2", "1")),
        ("throughput", TIMED, {"ops": "reference"}, ("ops", "compiled-cpu", "reference")),
        ("throughput", TIMED, {"precision": "float16"}, ("precision", "float32", "float16")),
        (
            "throughput",
            TIMED,
            {"image_sizes": ["416x416"]},
            ("image sizes", "416x416, 480x640", "416x416"),
        ),
        ("macs_paper", COUNTED, {"classes": 3}, ("classes", "80", "3")),
        ("macs_paper", COUNTED, {"rule": "other"}, ("counting rule", "conv + linear", "other")),
        ("parameters", {"classes": 80}, {"classes": 3}, ("classes", "80", "3")),
    ],
)
@pytest.mark.parametrize("same", [True, False])
def test_protocol_keeps_any_two_rows_apart(
    metric: str,
    conditions: dict[str, Any],
    changes: dict[str, Any],
    expected: tuple[str, str, str],
    same: bool,
) -> None:
    found = mismatches(metric, conditions, conditions | changes, same_detector=same)
    assert told(found) == [expected]
    assert [m.key for m in found] == list(changes)


@pytest.mark.parametrize(
    ("metric", "conditions", "changes", "expected"),
    [
        ("ap", EVALUATED, {"input": SQUASH_512}, ("input", "320x320", "512x512")),
        ("ap", EVALUATED, {"score_threshold": 0.05}, ("score threshold", "0.01", "0.05")),
        ("ap", EVALUATED, {"nms": "soft"}, ("NMS", "NMS, IoU 0.5", "soft")),
        ("ap", EVALUATED, {"precision": "float16"}, ("precision", "float32", "float16")),
        (
            "ap",
            EVALUATED,
            {"detections_per_image": 300},
            ("detections kept per image", "100", "300"),
        ),
        ("throughput", TIMED, {"input_sizes": ["512x512"]}, ("input sizes", "320x320", "512x512")),
        ("macs_paper", COUNTED, {"proposals": 150}, ("proposals counted", "200", "150")),
    ],
)
def test_own_settings_matter_within_one_detector_alone(
    metric: str,
    conditions: dict[str, Any],
    changes: dict[str, Any],
    expected: tuple[str, str, str],
) -> None:
    other = conditions | changes
    assert told(mismatches(metric, conditions, other, same_detector=True)) == [expected]
    assert mismatches(metric, conditions, other, same_detector=False) == ()


def test_what_was_only_observed_decides_nothing() -> None:
    busy = TIMED | {"load_average": 9.0, "other_cores": 3.0, "detections": 1.0, "warmup_runs": 99}
    busy |= {"child_cores": 0.2, "kernels_per_image": 400.0, "device_idle_share": 0.7}
    assert mismatches("latency_network_p90", TIMED, busy, same_detector=True) == ()
    found = EVALUATED | {"boxes": 16, "detections": 3}
    assert mismatches("ap_small", EVALUATED, found, same_detector=True) == ()


def test_a_condition_of_one_row_alone_is_not_recorded() -> None:
    old = {k: v for k, v in EVALUATED.items() if k != "max_detections"}
    (found,) = mismatches("ap", old, EVALUATED, same_detector=False)
    assert str(found) == "detections counted per image: not recorded against 100"
    assert mismatches("ap", old, old, same_detector=True) == ()


def test_settings_that_neither_recorded_are_passed_over() -> None:
    old = {k: v for k, v in EVALUATED.items() if k not in ("input", "score_threshold")}
    assert mismatches("ap", old, old, same_detector=True) == ()
    names = [m.name for m in mismatches("ap", old, EVALUATED, same_detector=True)]
    assert names == ["input", "score threshold"]


def test_losses_of_two_detectors_never_compare() -> None:
    assert mismatches("train_loss", {}, {}, same_detector=True) == ()
    assert len(mismatches("train_loss", {}, {}, same_detector=False)) == 1


def test_everything_chosen_counts_for_an_unknown_metric() -> None:
    base = {"resolution": "high", "load_average": 1.0, "input": SQUASH_320}
    other = {"resolution": "low", "load_average": 2.0, "input": SQUASH_512}
    assert [m.name for m in mismatches("energy", base, other, same_detector=True)] == [
        "resolution",
        "input",
    ]
    assert [m.name for m in mismatches("energy", base, other, same_detector=False)] == [
        "resolution"
    ]


def test_a_plugins_metric_is_kept_apart_by_what_it_names() -> None:
    spec = MetricSpec("energy", protocol=("device",), settings=("input",))
    base = {"device": "a", "input": SQUASH_320, "weather": "fine"}
    other = {"device": "b", "input": SQUASH_512, "weather": "rain"}
    for same, names in ((True, ["device", "input"]), (False, ["device"])):
        found = protocol.mismatches(spec, base, other, same_detector=same)
        assert [m.name for m in found] == names


def test_a_metric_that_does_not_compare_refuses_another_detector() -> None:
    spec = MetricSpec("energy", "energy used", comparable=False)
    assert protocol.mismatches(spec, {}, {}, same_detector=True) == ()
    (found,) = protocol.mismatches(spec, {}, {}, same_detector=False)
    assert str(found) == "what makes up its energy used: one detector's against another's"


def test_seeds_differ_from_the_first_of_them_once() -> None:
    seeds = [TIMED, TIMED | {"threads": 4}, TIMED | {"threads": 4}, TIMED | {"mode": "fused"}]
    spec = known_metrics().specs["throughput"]
    assert told(find_mixed(spec, seeds)) == [("threads", "2", "4"), ("mode", "eager", "fused")]
    assert find_mixed(spec, seeds[:1]) == ()
    assert find_mixed(spec, []) == ()


values = st.one_of(st.none(), st.integers(0, 3), st.sampled_from(["a", "b"]), st.just(SQUASH_320))
SPECS = [known_metrics().specs[name] for name in ("ap", "latency_network_p50")]
NAMED = {key for spec in SPECS for key in (*spec.protocol, *spec.settings)}
keys = st.sampled_from(sorted({*NAMED, "x", "boxes"}))
conditions = st.dictionaries(keys, values)
metrics = st.sampled_from(["ap", "latency_network_p50", "macs_paper", "energy", "train_wall_time"])


@given(metrics, conditions, conditions, st.booleans())
def test_mismatches_are_symmetric(
    metric: str, base: dict[str, Any], other: dict[str, Any], same: bool
) -> None:
    there = mismatches(metric, base, other, same_detector=same)
    back = mismatches(metric, other, base, same_detector=same)
    assert [(m.name, m.base, m.other) for m in there] == [(m.name, m.other, m.base) for m in back]
    assert mismatches(metric, base, base, same_detector=same) == ()


def test_values_in_words() -> None:
    shortest = {"kind": "shortest_side", "side": 320, "longest": 640}
    assert show_value("input", shortest) == "shortest side 320, longest at most 640"
    assert show_value("nms", None) == NOT_RECORDED
    assert show_value("score_threshold", 0.001) == "0.001"
