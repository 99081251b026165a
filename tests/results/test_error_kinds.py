"""Each kind of error and each fix on cases whose answer is known on paper."""

import math
from pathlib import Path

import numpy as np
import pytest
from box_sets import misses_of
from hypothesis import given, settings
from hypothesis import strategies as st
from one_image import cat, dog, found, scored, truth

from harness.results.ap.boxes import build_scene
from harness.results.ap.matching import find_pairs, match_once
from harness.results.ap.oracle import class_ap50, mean_ap50, select
from harness.results.ap.ranges import COCO_RANGES
from harness.results.ap.tide import measure_errors
from harness.results.ap.types import ErrorKind
from harness.stages.inputs import EvaluationInput
from harness.stages.scoring import read_ground_truth

FALSE = ("classification", "localisation", "both", "duplicate", "background")


def kinds(given: EvaluationInput) -> dict[str, ErrorKind]:
    return {kind.name: kind for kind in measure_errors(build_scene(given))}


def counts(given: EvaluationInput) -> dict[str, int]:
    return {name: kind.count for name, kind in kinds(given).items() if kind.count}


def test_perfect_detections_have_no_error():
    scene = scored([cat(0), dog(100)], [found(cat(0), 0.9), found(dog(100), 0.8)])
    for kind in kinds(scene).values():
        assert (kind.count, kind.cost) == (0, 0.0)


def test_a_wrong_class_costs_its_object_and_is_no_miss():
    # cat: found. dog: nobody found it, but a cat was said to be there. AP50 = (1 + 0) / 2
    wrong = found(cat(100), 0.8)
    result = kinds(scored([cat(0), dog(100)], [found(cat(0), 0.9), wrong]))
    assert result["classification"].count == 1
    assert result["classification"].cost == pytest.approx(0.5)
    assert result["missed"].count == 0
    assert result["missed"].cost == 0


def test_a_loose_box_costs_its_object_and_is_no_miss():
    # shifted by 5 of 10: IoU = 50 / 150 = 1/3
    result = kinds(scored([cat(0)], [found(cat(5), 0.9)]))
    assert result["localisation"].count == 1
    assert result["localisation"].cost == pytest.approx(1.0)
    assert result["missed"].count == 0


def test_wrong_class_and_loose_box_is_both_and_its_object_is_missed():
    result = kinds(scored([cat(0), dog(100)], [found(cat(0), 0.5), found(cat(105), 0.9)]))
    assert {n: k.count for n, k in result.items() if k.count} == {"both": 1, "missed": 1}
    # cat: a false positive before the true one: precision 1/2; without it 1. dog: 0
    assert result["both"].cost == pytest.approx((1 - 0.5) / 2)
    # dog is no longer asked for and nobody says dog: 1
    assert result["missed"].cost == pytest.approx(0.5)


def test_a_duplicate_before_another_object_costs_precision():
    # cats at 0 and 50; the first found twice, then the second: precision at recall 1 is 2/3
    given = scored([cat(0), cat(50)], [found(cat(0), 0.9), found(cat(1), 0.8), found(cat(50), 0.7)])
    result = kinds(given)
    assert counts(given) == {"duplicate": 1}
    # 51 recall points (0 .. 0.50) at precision 1, 50 at 2/3
    assert result["duplicate"].cost == pytest.approx(50 * (1 - 2 / 3) / 101)


def test_background_is_far_from_everything():
    given = scored([cat(0)], [found(cat(200), 0.9), found(cat(0), 0.8)])
    assert counts(given) == {"background": 1}
    assert kinds(given)["background"].cost == pytest.approx(0.5)


def test_missed_objects_are_not_asked_for_once_mended():
    given = scored([cat(0), cat(50)], [found(cat(0), 0.9)])
    assert counts(given) == {"missed": 1}
    assert kinds(given)["missed"].cost == pytest.approx(50 / 101)


@pytest.mark.parametrize(
    ("side", "shift", "kind"),
    # IoU of a square shifted by s: (side - s) / (side + s)
    [
        (10, 3, "duplicate"),  # 0.54
        (30, 10, "duplicate"),  # 0.5
        (10, 4, "localisation"),  # 0.43
        (11, 9, "localisation"),  # 0.1
        (10, 9, "background"),  # 0.05
    ],
)
def test_the_borders_of_overlap(side: float, shift: float, kind: str):
    given = scored([cat(0, side)], [found(cat(0, side), 0.9), found(cat(shift, side), 0.8)])
    assert counts(given) == {kind: 1}


def test_the_own_class_decides_before_another():
    # an object of each class at one place: a second cat is a duplicate, not a mistaken dog
    given = scored([cat(0), dog(0)], [found(cat(0), 0.9), found(cat(1), 0.8)])
    assert counts(given) == {"duplicate": 1, "missed": 1}
    # a loose cat on a dog of perfect fit: localisation
    given = scored([cat(0), dog(5)], [found(cat(5), 0.9), found(dog(5), 0.9)])
    assert counts(given) == {"localisation": 1}


def test_of_an_object_set_right_twice_the_best_detection_remains():
    # two loose boxes on one cat: corrected, one true positive and no false one
    given = scored([cat(0)], [found(cat(5), 0.9), found(cat(4), 0.8)])
    assert counts(given) == {"localisation": 2}
    assert kinds(given)["localisation"].cost == pytest.approx(1.0)


def test_a_wrong_class_of_higher_score_takes_the_place_of_the_true_positive():
    # dog found at 0.3 behind a false dog at 0.5; a cat at 0.9 stands on it
    objects = [cat(50), dog(0)]
    found_ones = [found(cat(0), 0.9), found(cat(50), 0.8), found(dog(200), 0.5), found(dog(0), 0.3)]
    result = kinds(scored(objects, found_ones))
    # before: cat 1/2, dog 1/2; after: cat 1, dog 1 since it is found at 0.9
    assert result["classification"].cost == pytest.approx(0.5)


def test_crowds_are_nobodys_errors():
    crowd = {**cat(0), "iscrowd": 1}
    given = scored([crowd, cat(50)], [found(cat(1), 0.9), found(cat(2), 0.8), found(cat(50), 0.7)])
    assert counts(given) == {}
    # a dog on a crowd of cats stands on background
    given = scored([crowd, dog(50)], [found(dog(0), 0.9), found(dog(50), 0.8)])
    assert counts(given) == {"background": 1}


def test_errors_are_of_the_size_of_their_nearest_object():
    small, large = cat(0, side=20), cat(300, side=200)
    loose_small, loose_large = cat(10, side=20), cat(400, side=200)
    detections = [found(loose_small, 0.9), found(loose_large, 0.8), found(cat(150, side=50), 0.7)]
    given = scored([small, large], detections)
    result = kinds(given)
    loose = {size: count for size, (count, _) in result["localisation"].by_size.items()}
    assert loose == {"small": 1, "medium": 0, "large": 1}
    empty = {size: count for size, (count, _) in result["background"].by_size.items()}
    assert empty == {"small": 0, "medium": 1, "large": 0}
    assert result["localisation"].by_size["small"][1] == pytest.approx(1.0)
    assert math.isnan(result["localisation"].by_size["medium"][1])


def test_without_detections_everything_is_missed():
    result = kinds(scored([cat(0), dog(50)], []))
    assert (result["missed"].count, result["missed"].cost) == (2, 1.0)
    assert all(result[name].count == 0 for name in FALSE)


def test_without_objects_nothing_has_a_cost():
    result = kinds(scored([], [found(cat(0), 0.9)]))
    assert result["background"].count == 1
    assert all(math.isnan(kind.cost) for kind in result.values())


def test_a_class_without_objects_costs_nothing_but_is_counted():
    # COCO leaves such a class out of the mean
    result = kinds(scored([cat(0)], [found(cat(0), 0.9), found(dog(50), 0.9)]))
    assert (result["background"].count, result["background"].cost) == (1, 0.0)


BOXES = st.tuples(
    st.sampled_from([1, 2]), st.integers(0, 40), st.integers(0, 40), st.integers(1, 60)
)


@st.composite
def scenes(draw: st.DrawFn) -> EvaluationInput:
    objects = [
        truth(*draw(BOXES), image=draw(st.integers(1, 3)), crowd=draw(st.integers(0, 9)) == 0)
        for _ in range(draw(st.integers(1, 6)))
    ]
    scores = st.integers(1, 20).map(lambda n: n / 20)
    detections = [
        found(truth(*draw(BOXES), image=draw(st.integers(1, 3))), draw(scores))
        for _ in range(draw(st.integers(0, 12)))
    ]
    return scored(objects, detections)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(scenes())
def test_every_false_positive_has_one_kind_and_no_mending_harms(scene: EvaluationInput):
    flat = build_scene(scene)
    wanted = ~flat.objects.crowd
    everywhere = np.ones(len(flat.detections.image), bool)
    matched = match_once(flat, find_pairs(flat), wanted)
    ranked = select(flat, matched, wanted, everywhere)
    result = kinds(scene)
    assert sum(result[name].count for name in FALSE) == np.count_nonzero(
        ranked.counted & (ranked.hit < 0)
    )
    for kind in result.values():
        assert math.isnan(kind.cost) or kind.cost > -1e-12
        for _, cost in kind.by_size.values():
            assert math.isnan(cost) or -1e-12 < cost < 1 + 1e-12


@settings(max_examples=100, deadline=None)
@given(scenes(), st.randoms(use_true_random=False))
def test_order_does_not_matter(scene: EvaluationInput, random):
    distinct = [{**d, "score": n / 100} for n, d in enumerate(scene.detections, start=1)]
    objects = list(scene.ground_truth.annotations)
    before = measure_errors(build_scene(scored(objects, distinct)))
    random.shuffle(distinct)
    # only order among images is free: of equal IoUs pycocotools takes the later object
    objects.sort(key=lambda a: -a["image_id"])
    after = measure_errors(build_scene(scored(objects, distinct)))
    for one, other in zip(before, after, strict=True):
        assert one.count == other.count
        assert one.cost == pytest.approx(other.cost, abs=1e-12, nan_ok=True)


def noisy(annotations: tuple, seed: int) -> list[dict]:
    """Detections made from ground truth: shifted, dropped, doubled, misnamed, invented."""
    rng = np.random.default_rng(seed)
    classes = sorted({a["category_id"] for a in annotations})
    detections = []
    for a in annotations:
        for _ in range(rng.integers(0, 4)):
            x, y, w, h = a["bbox"]
            dx, dy, dw, dh = rng.normal(0, 0.2, 4) * (w, h, w, h)
            category = a["category_id"] if rng.random() < 0.8 else int(rng.choice(classes))
            box = [x + dx, y + dy, max(w + dw, 1.0), max(h + dh, 1.0)]
            detections.append(
                {
                    "image_id": a["image_id"],
                    "category_id": category,
                    "bbox": box,
                    "score": round(float(rng.random()), 2),
                }
            )
    return detections


@pytest.mark.shared
@pytest.mark.parametrize("name", ["bccd", "coco_official"])
def test_ap50_is_that_of_pycocotools_on_real_data(shared_data: Path, name: str):
    from harness_plugins.meters.coco_ap import IOU_50, accumulate

    truth = read_ground_truth(shared_data / name / "annotations" / "instances_val.json")
    given = EvaluationInput(truth, tuple(noisy(truth.annotations, seed=1)))
    tables = accumulate(given, "pycocotools")
    scene = build_scene(given)
    pairs = find_pairs(scene)
    for size, area in COCO_RANGES.items():
        wanted = ~scene.objects.crowd & area.holds(scene.objects.area, scene.objects.image, scene)
        inside = area.holds(scene.detections.area, scene.detections.image, scene)
        ranked = select(scene, match_once(scene, pairs, wanted), wanted, inside)
        expected = tables.ap(IOU_50, size)
        assert mean_ap50(ranked) == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert all(kind.count > 0 for kind in measure_errors(build_scene(given)))


@pytest.mark.shared
def test_ground_truth_as_detections_is_free_of_errors(shared_data: Path):
    truth = read_ground_truth(shared_data / "bccd" / "annotations" / "instances_val.json")
    given = EvaluationInput(truth, tuple({**a, "score": 1.0} for a in truth.annotations))
    assert [(kind.count, kind.cost) for kind in measure_errors(build_scene(given))] == [
        (0, 0.0)
    ] * 6
    assert all(image.missed == 0 for image in misses_of(given))


def test_ap50_of_one_class():
    assert class_ap50(np.array([True, False, True]), 2) == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert class_ap50(np.array([], bool), 3) == 0
    assert class_ap50(np.array([], bool), 0) == 1
    assert class_ap50(np.array([False]), 0) == 0
