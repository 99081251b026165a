"""Which detection takes which object: cases whose answer is known on paper."""

import numpy as np
import pytest
from box_sets import make_detection, make_object, make_set

from harness.results.ap.boxes import build_scene
from harness.results.ap.matching import Matches, find_pairs, match, measure_iou
from harness.results.ap.ranges import COCO_RANGES, AreaRange
from harness.stages.inputs import EvaluationInput

ALL, SMALL = COCO_RANGES["all"], COCO_RANGES["small"]
AT_50, AT_95 = 0, 9


def matched(given: EvaluationInput, area: AreaRange = ALL, resize: dict | None = None) -> Matches:
    scene = build_scene(given, resize)
    return match(scene, find_pairs(scene), area)


def hits(found: Matches, threshold: int = AT_50) -> list[int]:
    """Places, in order of score, of the detections that hit."""
    return found.detection[found.hit[threshold]].tolist()


def ignored(found: Matches, threshold: int = AT_50) -> list[int]:
    return found.detection[found.ignored[threshold]].tolist()


def test_two_boxes_of_one_image():
    """One is met exactly, the other with IoU 100 / 140 = 0.71."""
    objects = [make_object([0, 0, 10, 10]), make_object([100, 100, 10, 10])]
    found = [make_detection([0, 0, 10, 10], 0.9), make_detection([100, 100, 14, 10], 0.8)]
    result = matched(make_set(objects, found))
    assert [hits(result, t) for t in range(10)] == 5 * [[0, 1]] + 5 * [[0]]


def test_a_duplicate_hits_nothing():
    found = [make_detection([0, 0, 10, 10], 0.8), make_detection([0, 0, 10, 9], 0.9)]
    result = matched(make_set([make_object([0, 0, 10, 10])], found))
    assert hits(result) == [0]  # the one with the higher score, though it fits less well
    assert hits(result, AT_95) == [1]
    assert ignored(result) == []


def test_a_detection_takes_the_object_that_it_fits_best():
    objects = [make_object([0, 0, 10, 10]), make_object([2, 0, 10, 10])]
    found = [make_detection([2, 0, 10, 10], 0.9), make_detection([0, 0, 10, 10], 0.8)]
    assert hits(matched(make_set(objects, found)), AT_95) == [0, 1]


def test_equal_iou_goes_to_the_later_object():
    """The second detection fits the first object alone."""
    objects = [make_object([0, 0, 10, 10]), make_object([4, 0, 10, 10])]
    between, first = make_detection([2, 0, 10, 10], 0.9), make_detection([0, 0, 10, 10], 0.8)
    assert hits(matched(make_set(objects, [between, first]))) == [0, 1]
    assert hits(matched(make_set(objects[::-1], [between, first]))) == [0]


def test_a_crowd_is_taken_many_times_and_counts_for_nothing():
    crowd = make_object([0, 0, 100, 100], iscrowd=1)
    found = [make_detection([10 * n, 0, 10, 10], 0.9 - n / 10) for n in range(3)]
    result = matched(make_set([crowd], found))
    assert (hits(result, AT_95), ignored(result, AT_95)) == ([], [0, 1, 2])
    assert not result.targets.any()


def test_an_object_that_counts_is_preferred_to_a_crowd():
    """Though the detection lies wholly within the crowd and fits the object with 0.5 only."""
    objects = [make_object([0, 0, 100, 100], iscrowd=1), make_object([0, 0, 10, 20])]
    result = matched(make_set(objects, [make_detection([0, 0, 10, 10], 0.9)]))
    assert (hits(result), ignored(result)) == ([0], [])
    assert (hits(result, AT_95), ignored(result, AT_95)) == ([], [0])


def test_an_object_outside_the_range_is_taken_once_and_counts_for_nothing():
    found = [make_detection([0, 0, 50, 50], 0.9), make_detection([0, 0, 50, 48], 0.8)]
    result = matched(make_set([make_object([0, 0, 50, 50])], found), SMALL)
    assert (hits(result), ignored(result)) == ([], [0])
    assert not result.inside.any()


def test_a_detection_outside_the_range_may_hit_an_object_within():
    result = matched(
        make_set([make_object([0, 0, 32, 30])], [make_detection([0, 0, 32, 35], 0.9)]), SMALL
    )
    assert hits(result) == [0]
    assert not result.inside.any()


def test_classes_and_images_do_not_meet():
    objects = [make_object([0, 0, 10, 10])]
    found = [
        make_detection([0, 0, 10, 10], 0.9, image=2),
        make_detection([0, 0, 10, 10], 0.9, category=2),
    ]
    assert hits(matched(make_set(objects, found, images=2, categories=2))) == []


def test_only_the_best_hundred_of_an_image_are_looked_at():
    objects = [make_object([0, 0, 10, 10])]
    found = [make_detection([300, 300, 10, 10], 0.9)] * 100 + [make_detection([0, 0, 10, 10], 0.1)]
    assert hits(matched(make_set(objects, found))) == []
    assert hits(matched(make_set(objects, found[1:]))) == [99]


def test_32_squared_is_small_and_medium_but_in_one_bin():
    objects = [make_object([0, 0, 32, 32])]
    closed = [matched(make_set(objects, []), COCO_RANGES[name]) for name in ("small", "medium")]
    assert [found.targets.sum() for found in closed] == [1, 1]
    halves = [AreaRange(0, 32**2), AreaRange(32**2, 96**2)]
    assert [matched(make_set(objects, []), r).targets.sum() for r in halves] == [0, 1]


def test_areas_at_the_networks_input():
    """32 wide in a 640 photo is 16 wide for a network of 320."""
    given = make_set([make_object([0, 0, 32, 32])], [make_detection([0, 0, 32, 32], 0.9)])
    resize = {"kind": "squash", "height": 320, "width": 320}
    bins = [AreaRange(low**2, high**2, frame="network") for low, high in ((8, 16), (16, 24))]
    assert [hits(matched(given, r, resize)) for r in bins] == [[], [0]]
    with pytest.raises(ValueError, match="come into the network"):
        matched(given, bins[0])


def test_iou_of_boxes_that_touch_or_have_no_area():
    one, beside, line = [0, 0, 10, 10], [10, 0, 10, 10], [0, 0, 0, 10]
    pairs = np.array([[one, one], [one, beside], [line, one], [line, line]], float)
    assert measure_iou(pairs[:, 0], pairs[:, 1], np.zeros(4, bool)).tolist() == [1, 0, 0, 0]


def test_nothing_at_all():
    result = matched(make_set([], []))
    assert (len(result.detection), len(result.inside), len(result.targets)) == (0, 0, 0)
