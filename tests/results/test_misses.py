"""Which objects are missed, image by image."""

from box_sets import misses_of
from one_image import cat, dog, found, scored

from harness.results.ap.types import Misses


def test_missed_objects_are_counted_by_image_and_size():
    objects = [
        cat(0, side=50, image=1), cat(100, side=50, image=1),
        cat(0, image=2), dog(100, image=2),
        cat(0, image=3),
    ]  # fmt: skip
    detections = [found(dog(100, image=2), 0.9)]
    assert misses_of(scored(objects, detections)) == (
        Misses(1, missed=2, small=0),
        Misses(2, missed=1, small=1),
        Misses(3, missed=1, small=1),
    )


def test_only_images_with_objects_count_and_crowds_are_none():
    crowd = {**cat(0, image=2), "iscrowd": 1}
    (only,) = misses_of(scored([cat(0), crowd], [found(cat(0), 0.9)]))
    assert only == Misses(1, missed=0, small=0)


def test_each_detection_finds_one_object():
    # two cats in one place, one detection
    (only,) = misses_of(scored([cat(0), cat(1)], [found(cat(0), 0.9)]))
    assert only.missed == 1


def test_a_found_object_needs_class_overlap_and_score():
    # boxes of 10 shifted by 3 overlap with 0.54, by 4 with 0.43
    for detection, missed in [
        (found(cat(3), 0.9), 0),
        (found(cat(4), 0.9), 1),
        (found(dog(0), 0.9), 1),
        (found(cat(0), 0.3), 0),
        (found(cat(0), 0.29), 1),
    ]:
        assert misses_of(scored([cat(0)], [detection]))[0].missed == missed
    assert misses_of(scored([cat(0)], [found(cat(0), 0.1)]), 0.1)[0].missed == 0


def test_small_is_below_32_squared():
    (only,) = misses_of(scored([cat(0, side=31.9), cat(100, side=32)], []))
    assert (only.small, only.missed) == (1, 2)
