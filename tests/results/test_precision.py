"""All figures of one detector: equal to the meter's, with intervals, by class and size."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from box_sets import make_detection, make_noisy, make_object, make_set, precision_of, scorings

from harness.manifest.schema import Report
from harness.plugin.metrics import Scoring
from harness.results.ap.boxes import build_scene
from harness.results.ap.precision import measure_precision
from harness.results.ap.types import Precision, Sampled
from harness.stages.inputs import EvaluationInput
from harness.stages.scoring import read_ground_truth
from harness_plugins.meters.coco_ap import CocoAp

FEW = Report(resamples=100)
COCO = scorings()
HALF = {"kind": "squash", "height": 320, "width": 320}


@pytest.fixture(scope="module")
def noisy(shared_data: Path) -> EvaluationInput:
    truth = read_ground_truth(shared_data / "bccd" / "annotations" / "instances_val.json")
    return make_noisy(truth, seed=1)


@pytest.fixture(scope="module")
def measured(noisy: EvaluationInput) -> Precision:
    settings = Report(resamples=200, area_ranges={"tiny": (0, 1600)}, size_bins=(0, 32, 96))
    return precision_of(noisy, HALF, settings, scorings("tiny"))


def told(found: Sampled) -> tuple[tuple[float, float, float], int, int]:
    """((value, low, high), objects, images)."""
    return (found.value, found.low, found.high), found.count, found.images


def one_object(**rest) -> EvaluationInput:
    return make_set([make_object([0, 0, 32, 32], **rest)], [make_detection([0, 0, 32, 32], 0.5)])


@pytest.mark.shared
def test_values_are_those_of_the_meter(noisy: EvaluationInput, measured: Precision):
    theirs = CocoAp("pycocotools")(noisy)
    for found in theirs:
        if found.scope == "":
            mine = measured.metrics[found.metric]
            assert mine.value == pytest.approx(found.value, abs=1e-9, nan_ok=True)
            assert mine.count == found.conditions["boxes"]
        elif found.metric == "ap":
            mine = measured.classes[found.scope.removeprefix("class/")]
            assert mine.value == pytest.approx(found.value, abs=1e-9, nan_ok=True)
            assert mine.count == found.conditions["boxes"]
    assert measured.metrics.keys() - {found.metric for found in theirs} == {"ap_tiny"}


@pytest.mark.shared
def test_every_figure_has_an_interval_round_it(measured: Precision):
    estimates = [*measured.metrics.values(), *measured.classes.values()]
    assert all(e.low < e.value < e.high for e in estimates if e.value > 0)
    assert all(e.low >= 0 and e.high <= 1 for e in estimates)
    assert all(e.draws.shape == (200,) for e in estimates)


@pytest.mark.shared
def test_curves_cover_every_object_once(measured: Precision):
    for bins in measured.curves.values():
        assert [(b.low, b.high) for b in bins] == [(0, 32), (32, 96), (96, np.inf)]
        assert sum(b.ap.count for b in bins) == measured.metrics["ap"].count
        assert all(b.ap.count == b.ap50.count for b in bins)
    small = [bins[0].ap.count for bins in measured.curves.values()]
    assert small[0] < small[1]  # more are small at the network's input


@pytest.mark.shared
def test_curves_of_precision_average_to_ap(measured: Precision):
    means = {name: np.mean(values) for name, values in measured.precision.items()}
    metrics = {"0.50": "ap50", "0.75": "ap75", "0.50:0.95": "ap"}
    for name, metric in metrics.items():
        assert means[name] == pytest.approx(measured.metrics[metric].value, abs=1e-9)
        assert (np.diff(measured.precision[name]) <= 1e-12).all()
    assert measured.recall == pytest.approx(np.linspace(0, 1, 101))


@pytest.mark.shared
def test_the_same_again(noisy: EvaluationInput, measured: Precision):
    settings = Report(resamples=200, area_ranges={"tiny": (0, 1600)}, size_bins=(0, 32, 96))
    again = precision_of(noisy, HALF, settings, scorings("tiny"))
    assert repr(again) == repr(measured)
    assert np.array_equal(again.metrics["ap"].draws, measured.metrics["ap"].draws)
    other = precision_of(noisy, HALF, settings, scorings("tiny"), seed=1)
    assert other.metrics["ap"].value == measured.metrics["ap"].value
    assert not np.array_equal(other.metrics["ap"].draws, measured.metrics["ap"].draws)


def test_ground_truth_as_detections_is_perfect():
    objects = [make_object([0, 0, 20 * n, 20 * n], image=n) for n in range(1, 9)]
    found = [make_detection(o["bbox"], 0.5, o["image_id"]) for o in objects]
    metrics = precision_of(make_set(objects, found, images=8), None, FEW, COCO).metrics
    assert told(metrics["ap"]) == (pytest.approx((1, 1, 1)), 8, 8)
    assert metrics["ar_100"].value == 1


def test_no_detections_score_nothing_for_sure():
    objects = [make_object([0, 0, 20, 20], image=n) for n in range(1, 9)]
    found = precision_of(make_set(objects, [], images=8), None, FEW, COCO)
    assert told(found.metrics["ap"]) == ((0, 0, 0), 8, 8)
    assert set(found.precision["0.50:0.95"]) == {0}


def test_without_ground_truth_there_is_no_figure():
    empty = make_set([], [make_detection([0, 0, 9, 9], 0.5)], images=3)
    found = precision_of(empty, None, FEW, COCO)
    for estimate in [*found.metrics.values(), *found.classes.values()]:
        assert np.isnan([estimate.value, estimate.low, estimate.high]).all()
        assert estimate.count == 0
    assert np.isnan(found.precision["0.50"]).all()
    assert np.isnan(found.metrics["ap"].draws).all()


def test_without_images_there_is_no_figure():
    found = precision_of(make_set([], [], images=0), None, FEW, COCO)
    assert found.metrics["ap"].draws.shape == (FEW.resamples,)
    assert np.isnan(found.metrics["ap"].value)


def test_one_image_gives_a_figure_but_no_interval():
    ap = precision_of(one_object(), None, FEW, COCO).metrics["ap"]
    assert ap.value == pytest.approx(1)
    assert np.isnan([ap.low, ap.high]).all()


def test_images_are_those_that_hold_such_objects():
    """Three small objects in two of nine images, one large one in a third, a crowd in a fourth."""
    small = [make_object([x, 0, 10, 10], image=n) for x, n in ((0, 1), (50, 1), (0, 2))]
    others = [make_object([0, 0, 200, 200], image=3), make_object([0, 0, 9, 9], 4, iscrowd=1)]
    found = precision_of(make_set([*small, *others], [], images=9), None, FEW, COCO)
    numbers = {name: (e.count, e.images) for name, e in found.metrics.items()}
    assert numbers["ap_small"] == numbers["ar_small"] == (3, 2)
    assert numbers["ap_large"] == (1, 1)
    assert numbers["ap_medium"] == (0, 0)
    assert numbers["ap"] == (4, 3)
    assert found.classes["class 1"].images == 3


def test_a_crowd_is_not_counted():
    assert precision_of(one_object(iscrowd=1), None, FEW, COCO).metrics["ap"].count == 0


def test_bins_are_half_open_in_both_frames():
    """32 wide in a photo of 640 is 16 wide for a network of 320."""
    settings = Report(resamples=100, size_bins=(0, 16, 32, 64))
    curves = precision_of(one_object(), HALF, settings, COCO).curves
    counts = {frame: [b.ap.count for b in bins] for frame, bins in curves.items()}
    assert counts == {"original": [0, 0, 1, 0], "network": [0, 1, 0, 0]}
    assert np.isnan(curves["original"][0].ap.value)
    assert curves["original"][2].ap.value == pytest.approx(1)


def test_ranges_of_the_manifest_are_half_open():
    settings = Report(resamples=100, area_ranges={"tiny": (0, 1024), "rest": (1024, 1e9)})
    metrics = precision_of(one_object(), None, settings, scorings("tiny", "rest")).metrics
    assert [metrics[f"ap_{name}"].count for name in ("tiny", "rest", "small", "medium")] == [
        0, 1, 1, 1,
    ]  # fmt: skip


def test_no_resize_no_curve_at_the_networks_input():
    assert precision_of(one_object(), None, FEW, COCO).curves.keys() == {"original"}


def test_pairing_tells_images_annotations_seed_and_resamples_apart():
    given = one_object()
    truth = given.ground_truth
    others = [
        replace(given, ground_truth=replace(truth, sha256="other")),
        replace(given, ground_truth=replace(truth, image_ids=(1, 2), image_sizes=((9, 9),) * 2)),
    ]
    pairings = [precision_of(g, None, FEW, COCO).pairing for g in (given, *others)]
    pairings += [precision_of(given, None, FEW, COCO, seed=1).pairing]
    pairings += [precision_of(given, None, Report(resamples=101), COCO).pairing]
    assert len(set(pairings)) == 5
    blind = replace(given, detections=())
    assert precision_of(blind, HALF, FEW, COCO).pairing == pairings[0]


def test_a_figure_that_a_plugin_declares_is_scored_like_cocos_own():
    """AP at one threshold or of an area, AR of fewer detections; no meter measures them."""
    objects = [make_object([0, 0, 20, 20], image=n) for n in range(1, 9)]
    found = [
        make_detection([0, 0, 20, 20 * overlap], 0.5, n)
        for n, overlap in enumerate((1, 1, 1, 1, 0.8, 0.8, 0.5, 0.5), 1)
    ]
    asked = {
        "strict": Scoring(iou=0.9, area="small"),
        "loose": Scoring(iou=0.6),
        "first": Scoring("recall", limit=1),
        "of_large": Scoring(area="large"),
    }
    metrics = precision_of(make_set(objects, found, images=8), None, FEW, asked).metrics
    assert metrics["loose"].value > metrics["strict"].value > 0.4
    # 4 at every threshold, 2 up to 0.80 (7 of 10), 2 at 0.50 alone
    assert metrics["first"].value == pytest.approx((4 * 10 + 2 * 7 + 2 * 1) / 80)
    assert np.isnan(metrics["of_large"].value)


def test_a_crowded_image_is_scored_up_to_the_limit():
    """250 objects, all found: 40.59 is what pycocotools makes of the best 100, 1 of 300."""
    boxes = [[(i % 20) * 60, (i // 20) * 60, 20, 20] for i in range(250)]
    given = make_set(
        [make_object(box, image=1) for box in boxes],
        [make_detection(box, 1 - n / 1000, 1) for n, box in enumerate(boxes)],
        images=1,
    )
    for limit, ap in ((100, 0.4059), (300, 1.0)):
        scene = build_scene(given, None, limit)
        asked = {"ap": Scoring(limit=limit), "recall": Scoring("recall", limit=limit)}
        metrics = measure_precision(given.ground_truth, scene, FEW, asked).metrics
        assert metrics["ap"].value == pytest.approx(ap, abs=1e-4)
        assert metrics["recall"].value == pytest.approx(min(limit, 250) / 250)


def test_what_is_not_known_here_is_left_out():
    asked = {
        "unknown_area": Scoring(area="tiny"),
        "more_detections": Scoring(limit=300),
        "fewer_detections": Scoring(limit=10),
        "recall_of_more": Scoring("recall", limit=300),
        "recall_of_fewer": Scoring("recall", limit=10),
    }
    assert precision_of(one_object(), None, FEW, asked).metrics.keys() == {"recall_of_fewer"}
