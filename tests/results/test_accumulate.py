"""AP from weighted images: known on paper, equal to the COCO evaluators, and sound."""

from pathlib import Path

import numpy as np
import pytest
from box_sets import coco_tables, make_detection, make_noisy, make_object, make_set
from hypothesis import given as for_any
from hypothesis import settings
from hypothesis import strategies as st
from simulated_sets import Process

from harness.results.ap.accumulate import (
    IOU_50,
    IOU_75,
    mean_over_classes,
    measure_ap,
    measure_recall,
    precision_table,
)
from harness.results.ap.bootstrap import draw_weights
from harness.results.ap.boxes import build_scene
from harness.results.ap.matching import find_pairs, match
from harness.results.ap.ranges import COCO_RANGES, AreaRange, bin_ranges
from harness.stages.inputs import EvaluationInput, GroundTruth
from harness.stages.scoring import read_ground_truth

ALL = [COCO_RANGES["all"]]
CLOSE = {"rtol": 0, "atol": 1e-9}


def figures(given: EvaluationInput, weights=None, ranges=ALL, resize=None) -> np.ndarray:
    """(ap, ap50, ap75, ar_1, ar_10, ar_100) x ranges x weights x classes."""
    scene = build_scene(given, resize)
    weights = np.ones((1, scene.images), np.int32) if weights is None else np.array(weights)
    pairs = find_pairs(scene)
    matches = [match(scene, pairs, area) for area in ranges]
    precision = [(f.mean, f.at[IOU_50], f.at[IOU_75]) for f in measure_ap(scene, matches, weights)]
    recall = [[measure_recall(scene, m, weights, k) for k in (1, 10, 100)] for m in matches]
    return np.concatenate([np.array(precision).swapaxes(0, 1), np.array(recall).swapaxes(0, 1)])


def reference(given: EvaluationInput, ranges=ALL, resize=None, backend="pycocotools") -> np.ndarray:
    """The same of an evaluator, without weights: (6, ranges, classes)."""
    precision, recall = coco_tables(given, ranges, resize, backend)
    by_iou = precision[..., -1].mean(axis=1)  # (10, classes, ranges)
    rows = [by_iou.mean(axis=0), by_iou[0], by_iou[5], *np.moveaxis(recall.mean(axis=0), -1, 0)]
    return np.array(rows).swapaxes(1, 2)


def test_one_image_with_two_boxes():
    """A hit, a false alarm, a hit: precision 1 up to a recall of 0.5, then 2/3."""
    objects = [make_object([0, 0, 10, 10]), make_object([100, 0, 10, 10])]
    found = [
        make_detection([0, 0, 10, 10], 0.9),
        make_detection([300, 0, 10, 10], 0.8),
        make_detection([100, 0, 10, 10], 0.7),
    ]
    ap, ap50, ap75, ar_1, ar_10, ar_100 = figures(make_set(objects, found))[:, 0, 0, 0]
    assert ap == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert (ap50, ap75) == (ap, ap)
    assert (ar_1, ar_10, ar_100) == (0.5, 1, 1)


def test_a_duplicate_costs_precision():
    objects = [make_object([0, 0, 10, 10]), make_object([100, 0, 10, 10])]
    hit = [make_detection([0, 0, 10, 10], 0.9), make_detection([100, 0, 10, 10], 0.7)]
    assert figures(make_set(objects, hit))[0, 0, 0, 0] == pytest.approx(1)
    doubled = [*hit, make_detection([0, 0, 10, 10], 0.8)]
    assert figures(make_set(objects, doubled))[0, 0, 0, 0] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_crowd_costs_nothing():
    objects = [make_object([0, 0, 10, 10]), make_object([100, 0, 100, 100], iscrowd=1)]
    found = [make_detection([100 + 20 * n, 0, 10, 10], 0.9) for n in range(4)]
    given = make_set(objects, [*found, make_detection([0, 0, 10, 10], 0.5)])
    assert figures(given)[:, 0, 0, 0] == pytest.approx([1, 1, 1, 0, 1, 1])


def test_weights_count_images():
    """Image 1 is perfect, image 2 has a false alarm above its only, missed object."""
    objects = [make_object([0, 0, 10, 10], image) for image in (1, 2)]
    found = [make_detection([0, 0, 10, 10], 0.5), make_detection([90, 0, 10, 10], 0.9, image=2)]
    given = make_set(objects, found, images=2)
    ap = figures(given, [[1, 0], [0, 1], [1, 1], [3, 1], [0, 0]])[0, 0, :, 0]
    # 3 and 1: recall 0.75, that is 76 of the points, at a precision of 3/4
    assert ap == pytest.approx([1, 0, 51 * 0.5 / 101, 76 * 0.75 / 101, np.nan], nan_ok=True)


def test_a_class_without_ground_truth_is_left_out():
    objects = [make_object([0, 0, 10, 10], 1, 1), make_object([0, 0, 10, 10], 2, 2)]
    given = make_set(objects, [make_detection([0, 0, 10, 10], 0.5)], images=2, categories=3)
    ap = figures(given, [[1, 1], [1, 0], [0, 2], [0, 0]])[0, 0]
    np.testing.assert_allclose(
        ap, [[1, 0, np.nan], [1, np.nan, np.nan], [np.nan, 0, np.nan], [np.nan] * 3]
    )
    np.testing.assert_allclose(mean_over_classes(ap), [0.5, 1, 0, np.nan])


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("backend", ["pycocotools", "faster_coco_eval"])
@pytest.mark.parametrize("name", ["coco_official", "bccd"])
def test_equal_to_the_evaluators_on_real_ground_truth(shared_data: Path, name: str, backend: str):
    truth = read_ground_truth(shared_data / name / "annotations" / "instances_val.json")
    given, ranges = make_noisy(truth, seed=1), list(COCO_RANGES.values())
    mine, theirs = figures(given, ranges=ranges)[:, :, 0], reference(given, ranges, None, backend)
    np.testing.assert_allclose(mine, theirs, **CLOSE)
    np.testing.assert_allclose(mean_over_classes(mine), np.nanmean(theirs, axis=2), **CLOSE)
    assert 0.05 < np.nanmean(theirs) < 0.95


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("frame", ["original", "network"])
@pytest.mark.parametrize("name", ["coco_official", "bccd"])
def test_equal_in_size_bins_and_ranges(shared_data: Path, name: str, frame: str):
    truth = read_ground_truth(shared_data / name / "annotations" / "instances_val.json")
    given = make_noisy(truth, seed=2)
    ranges = [
        *bin_ranges([0, 16, 32, 100], frame),
        AreaRange(10, 700, frame=frame),
        AreaRange(0, 1e10, closed=True, frame=frame),
    ]
    resize = {"kind": "shortest_side", "side": 320, "longest": 500}
    mine = figures(given, ranges=ranges, resize=resize)[:, :, 0]
    np.testing.assert_allclose(mine, reference(given, ranges, resize), **CLOSE)


@pytest.mark.shared
def test_precision_at_each_recall_point(shared_data: Path):
    truth = read_ground_truth(shared_data / "bccd" / "annotations" / "instances_val.json")
    given = make_noisy(truth, seed=3)
    scene = build_scene(given)
    table = precision_table(scene, match(scene, find_pairs(scene), ALL[0]))
    np.testing.assert_allclose(table, coco_tables(given, ALL)[0][..., 0, -1], **CLOSE)


@pytest.mark.slow
@pytest.mark.shared
def test_equal_to_scoring_the_resampled_images(shared_data: Path):
    """Images drawn twice are in the set twice, under new ids, and are matched and sorted again."""
    truth = read_ground_truth(shared_data / "bccd" / "annotations" / "instances_val.json")
    given = make_noisy(truth, seed=4, digits=None)
    weights = draw_weights(len(truth.image_ids), 4, seed=5)
    ranges = list(COCO_RANGES.values())
    mine = figures(given, weights, ranges)
    for number, drawn in enumerate(weights):
        theirs = reference(copy_images(given, drawn), ranges)
        np.testing.assert_allclose(mine[:, :, number], theirs, **CLOSE)


def copy_images(given: EvaluationInput, counts: np.ndarray) -> EvaluationInput:
    truth = given.ground_truth
    times = dict(zip(sorted(truth.image_ids), counts.tolist(), strict=True))

    def copy(boxes):
        return tuple(
            {**box, "image_id": box["image_id"] * 100 + number}
            for box in boxes
            for number in range(times[box["image_id"]])
        )

    ids = tuple(i * 100 + number for i, n in times.items() for number in range(n))
    copied = GroundTruth(ids, truth.categories, copy(truth.annotations), truth.sha256)
    return EvaluationInput(copied, copy(given.detections))


@settings(max_examples=25, deadline=None)
@for_any(st.integers(0, 10**6))
def test_the_order_of_images_and_boxes_changes_nothing(seed: int):
    given, rng = Process(classes=3).draw(12, seed), np.random.default_rng(seed)
    truth = given.ground_truth
    images = rng.permutation(len(truth.image_ids))
    mixed = GroundTruth(
        tuple(truth.image_ids[n] for n in images),
        truth.categories,
        tuple(truth.annotations[n] for n in rng.permutation(len(truth.annotations))),
        truth.sha256,
        tuple(truth.image_sizes[n] for n in images),
    )
    found = tuple(given.detections[n] for n in rng.permutation(len(given.detections)))
    weights, ranges = draw_weights(12, 5, seed), list(COCO_RANGES.values())
    np.testing.assert_array_equal(
        figures(given, weights, ranges), figures(EvaluationInput(mixed, found), weights, ranges)
    )


@settings(max_examples=25, deadline=None)
@for_any(st.integers(0, 10**6))
def test_a_false_alarm_less_never_scores_worse(seed: int):
    given, rng = Process(false_alarms=6).draw(12, seed), np.random.default_rng(seed)
    far = {**given.detections[0], "bbox": [5000.0, 5000.0, 20.0, 20.0], "score": rng.normal()}
    worse = EvaluationInput(given.ground_truth, (*given.detections, far))
    weights, ranges = draw_weights(12, 20, seed), list(COCO_RANGES.values())
    gain = figures(given, weights, ranges) - figures(worse, weights, ranges)
    assert np.nanmin(gain) >= -1e-12


@settings(max_examples=25, deadline=None)
@for_any(st.integers(0, 10**6))
def test_a_sure_hit_more_never_scores_worse(seed: int):
    """An object that nothing was near to is found, above all others."""
    given = Process().draw(12, seed)
    truth, weights = given.ground_truth, draw_weights(12, 20, seed)
    for lost in truth.annotations:
        others = tuple(d for d in given.detections if not near(d, lost))
        hit = {key: lost[key] for key in ("image_id", "category_id", "bbox")} | {"score": 99.0}
        before = figures(EvaluationInput(truth, others), weights)[:3]
        after = figures(EvaluationInput(truth, (*others, hit)), weights)[:3]
        assert np.nanmin(after - before) >= -1e-12
        break


def near(detection, thing) -> bool:
    """In the same cell of the simulation."""
    centre = [
        [box["bbox"][n] + box["bbox"][n + 2] / 2 for n in (0, 1)] for box in (detection, thing)
    ]
    apart = max(abs(a - b) for a, b in zip(*centre, strict=True))
    return detection["image_id"] == thing["image_id"] and apart < 160
