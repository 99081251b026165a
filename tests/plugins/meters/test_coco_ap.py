"""AP and AR: hand-made cases, agreement of the two backends, and invariants."""

import json
import math
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.plugin.metrics import Finding
from harness.records.measurement import Measurement
from harness.stages.scoring import evaluate
from harness_plugins.meters import CocoApParams, harness_meters
from harness_plugins.meters.coco_ap import CocoAp

BACKENDS = ("faster_coco_eval", "pycocotools")
SMALL = (1, 10, 5.0, 5.0, 20.0, 20.0)
LARGE = (1, 20, 50.0, 50.0, 200.0, 200.0)


def score(path, detections, backend="faster_coco_eval", **params) -> dict[tuple, Measurement]:
    measured = evaluate(path, detections, [CocoAp(backend, **params)])
    return {(m.metric, m.scope): m for m in measured}


def detection(image, category, x, y, w, h, confidence):
    return {"image_id": image, "category_id": category, "bbox": [x, y, w, h], "score": confidence}


def truth_as_detections(path: Path) -> list[dict]:
    return [
        detection(a["image_id"], a["category_id"], *a["bbox"], 1.0)
        for a in json.loads(path.read_text())["annotations"]
        if not a["iscrowd"]
    ]


def values(measured: dict[tuple, Measurement]) -> dict[tuple, float]:
    return {key: m.value for key, m in measured.items()}


def assert_equal(left: dict, right: dict, tolerance: float = 1e-9) -> None:
    assert left.keys() == right.keys()
    for key in left:
        assert left[key] == pytest.approx(right[key], abs=tolerance, nan_ok=True), key


def test_meter_writes_exactly_the_declared_metrics(write_annotations):
    declared = next(m for m in harness_meters() if m.name == "coco_ap")
    assert declared.load() is CocoAp
    path = write_annotations([SMALL, LARGE])
    for limit in (100, 300):
        measured = score(path, [], per_class=False, max_detections=limit)
        specs = declared.specs(CocoApParams(max_detections=limit))
        assert [metric for metric, _ in measured] == [spec.name for spec in specs]
        assert f"ar_{limit}" in {spec.name for spec in specs}
        assert {spec.scoring.limit for spec in specs} == {1, 10, limit}
    assert declared.specs() == declared.specs(CocoApParams())


@pytest.mark.parametrize("backend", BACKENDS)
def test_ground_truth_as_detections_scores_one_and_empty_bins_are_nan(write_annotations, backend):
    path = write_annotations([SMALL, LARGE], classes=3)
    measured = values(score(path, truth_as_detections(path), backend))
    for metric in ("ap", "ap50", "ap75", "ap_small", "ap_large", "ar_1", "ar_100", "ar_large"):
        assert measured[metric, ""] == pytest.approx(1.0, abs=1e-12), metric
    assert math.isnan(measured["ap_medium", ""])
    assert math.isnan(measured["ar_medium", ""])
    assert measured["ap", "class/class1"] == pytest.approx(1.0, abs=1e-12)
    assert math.isnan(measured["ap", "class/class3"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_iou_between_thresholds_counts_for_the_thresholds_below_it(write_annotations, backend):
    path = write_annotations([LARGE])
    # 200x124 inside 200x200: IoU 0.62, a match at 0.50, 0.55 and 0.60
    measured = values(score(path, [detection(1, 20, 50, 50, 200, 124, 0.9)], backend))
    assert measured["ap50", ""] == pytest.approx(1.0)
    assert measured["ap75", ""] == 0.0
    assert measured["ap", ""] == pytest.approx(0.3)
    assert measured["ar_1", ""] == pytest.approx(0.3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_higher_scored_false_positive_halves_precision(write_annotations, backend):
    path = write_annotations([LARGE], classes=2)
    found = [detection(1, 20, 0, 0, 9, 9, 0.9), detection(1, 20, 50, 50, 200, 200, 0.8)]
    measured = values(score(path, found, backend))
    assert measured["ap", ""] == pytest.approx(0.5)
    assert measured["ar_1", ""] == 0.0
    assert measured["ar_10", ""] == pytest.approx(1.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_crowds_neither_have_to_be_found_nor_make_false_positives(write_annotations, backend):
    crowd = (1, 20, 0.0, 260.0, 300.0, 100.0, {"iscrowd": 1})
    path = write_annotations([LARGE, crowd])
    found = [detection(1, 20, 50, 50, 200, 200, 0.8)]
    inside = [detection(1, 20, 20 * i, 270, 20, 20, 0.9) for i in range(5)]
    assert values(score(path, found + inside, backend))["ap", ""] == pytest.approx(1.0)
    assert score(path, found, backend)["ap", ""].conditions["boxes"] == 1
    assert score(path, found, backend)["ap", ""].conditions["object_images"] == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_annotation_with_id_zero_is_matched(write_annotations, backend):
    path = write_annotations([LARGE])
    assert json.loads(path.read_text())["annotations"][0]["id"] == 0
    assert values(score(path, truth_as_detections(path), backend))["ap", ""] == pytest.approx(1.0)


def test_size_goes_by_the_area_field_and_the_record_says_of_what(write_annotations):
    boxes = score(write_annotations([LARGE]), [])
    assert boxes["ap", ""].conditions["area"] == "box"
    path = write_annotations([(*LARGE, {"area": 900.0})])
    masks = score(path, truth_as_detections(path))
    assert masks["ap", ""].conditions["area"] == "mask"
    assert masks["ap_small", ""].value == pytest.approx(1.0)
    assert math.isnan(masks["ap_large", ""].value)


def test_conditions_say_what_the_number_depends_on(write_annotations):
    path = write_annotations([SMALL, LARGE], images=7)
    measured = score(path, truth_as_detections(path))["ap", ""]
    assert measured.count == measured.conditions["images"] == 7
    assert measured.conditions["evaluator"].startswith("faster-coco-eval ")
    assert measured.conditions["iou_type"] == "bbox"
    assert measured.conditions["max_detections"] == 100
    assert len(measured.conditions["annotations_sha256"]) == 64


def test_no_detections_score_zero_with_a_warning(write_annotations):
    measured = score(write_annotations([SMALL, LARGE]), [])
    assert measured["ap", ""].value == 0.0
    assert measured["ap", ""].warnings == (Finding("nothing_found"),)


def test_no_ground_truth_is_nan_everywhere(write_annotations):
    measured = score(write_annotations([]), [detection(1, 10, 0, 0, 9, 9, 0.5)])
    assert all(math.isnan(m.value) for m in measured.values())
    assert measured["ap", ""].conditions["area"] == "none"


def test_max_detections_limits_and_names_the_recall(write_annotations):
    path = write_annotations([LARGE])
    false = [detection(1, 20, i, 0, 5, 5, 0.9) for i in range(30)]
    found = [*false, *truth_as_detections(path)]
    found[-1]["score"] = 0.1
    assert values(score(path, found, max_detections=20))["ar_20", ""] == 0.0
    assert values(score(path, found, max_detections=31))["ar_31", ""] == pytest.approx(1.0)


def test_libraries_are_silent(write_annotations, capfd):
    for backend in BACKENDS:
        score(write_annotations([SMALL]), [], backend)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("name", ["coco_official", "bccd"])
@pytest.mark.parametrize("seed", [0, 1])
def test_backends_agree_on_real_annotations(real_annotations, noisy_detections, name, seed):
    path = real_annotations(name)
    found = noisy_detections(path, seed)
    fast, definition = (values(score(path, found, backend)) for backend in BACKENDS)
    assert_equal(fast, definition)
    assert 0.05 < fast["ap", ""] < 0.9


@pytest.mark.shared
@pytest.mark.parametrize(("name", "area"), [("coco_official", "mask"), ("bccd", "box")])
@pytest.mark.parametrize("backend", BACKENDS)
def test_real_ground_truth_scores_one(real_annotations, name, area, backend):
    path = real_annotations(name)
    measured = score(path, truth_as_detections(path), backend)
    assert measured["ap", ""].conditions["area"] == area
    for (metric, scope), m in measured.items():
        if metric.startswith("ap") and m.conditions["boxes"]:
            assert m.value == pytest.approx(1.0, abs=1e-12), (metric, scope)


coordinates = st.floats(0, 300, allow_nan=False)
sides = st.floats(1, 100, allow_nan=False)
box_strategy = st.tuples(
    st.integers(1, 3), st.sampled_from([10, 20]), coordinates, coordinates, sides, sides
)
lenient = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@lenient
@given(
    truth=st.lists(box_strategy, min_size=1, max_size=8),
    found=st.lists(box_strategy, max_size=12),
    seed=st.integers(0, 1000),
)
def test_order_of_detections_and_of_images_changes_nothing(write_annotations, truth, found, seed):
    rng = random.Random(seed)
    path = write_annotations(truth, images=3)
    # distinct scores: order among equal ones is the evaluator's to choose
    results = [detection(*box, (i + 1) / 100) for i, box in enumerate(found + truth)]
    before = score(path, results)
    content = json.loads(path.read_text())
    for part in (results, content["images"], content["annotations"], content["categories"]):
        rng.shuffle(part)
    path.write_text(json.dumps(content))
    assert_equal(values(before), values(score(path, results)))


@lenient
@given(
    truth=st.lists(box_strategy, max_size=8),
    found=st.lists(st.tuples(box_strategy, st.sampled_from([0.1, 0.5, 0.5, 0.9])), max_size=12),
    crowd=st.booleans(),
)
def test_backends_agree_on_anything(write_annotations, truth, found, crowd):
    path = write_annotations(
        [(*box, {"iscrowd": int(crowd and i % 2)}) for i, box in enumerate(truth)], images=3
    )
    results = [detection(*box, confidence) for box, confidence in found]
    fast, definition = (values(score(path, results, backend)) for backend in BACKENDS)
    assert_equal(fast, definition)
    assert all(0 <= v <= 1 or math.isnan(v) for v in fast.values())
