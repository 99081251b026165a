"""Files of other tools: classes that are one off are put right, doubtful files are told of."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.plugin.metrics import Finding
from harness.records.measurement import Measurement
from harness.stages.detected_elsewhere import read_detected_elsewhere, with_findings
from harness.stages.inputs import GroundTruth
from harness.stages.metrics import METRICS

IMAGES, SIDE = 40, 100
Change = Callable[[dict], dict]


def ground_truth(first: int) -> GroundTruth:
    """Forty images with an object of each of three classes, numbered from `first` on."""
    names = {first + i: name for i, name in enumerate(("cell", "plate", "drop"))}
    objects = [
        {"image_id": image, "category_id": category, "bbox": [30.0 * i, 10.0, 20.0, 20.0]}
        for image in range(IMAGES)
        for i, category in enumerate(names)
    ]
    return GroundTruth(
        tuple(range(IMAGES)), names, tuple(objects), "", image_sizes=((SIDE, SIDE),) * IMAGES
    )


def read(path: Path, truth: GroundTruth, change: Change, keep: Change = bool) -> tuple:
    """What a tool writes that finds all objects, after a change of each entry."""
    entries = [change({**one, "score": 0.5}) for one in truth.annotations if keep(one)]
    path.write_text(json.dumps(entries))
    found, findings = read_detected_elsewhere(path, truth)
    return found, tuple(map(METRICS.word, findings))


def renumbered(by: int) -> Change:
    return lambda entry: {**entry, "category_id": entry["category_id"] + by}


def of(*classes: int) -> Change:
    return lambda entry: entry["category_id"] in classes


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "found.json"


@pytest.mark.parametrize(("first", "by", "word"), [(0, 1, "less"), (1, -1, "more")])
def test_classes_that_are_all_one_off_are_put_right_with_a_note(
    path: Path, first: int, by: int, word: str
):
    """As Ultralytics numbers them from 1, and other tools from 0, whatever the labels do."""
    truth = ground_truth(first)
    found, notes = read(path, truth, renumbered(by))
    assert [one["category_id"] for one in found] == [o["category_id"] for o in truth.annotations]
    assert notes == (
        f"every category_id of found.json is taken as one {word}: of 120 boxes 120 then lie on "
        "objects of their class, instead of 0",
    )


def test_so_are_those_of_some_classes_which_all_exist(path: Path):
    """Without the last class the shifted ids are known ones: where the boxes lie decides."""
    found, notes = read(path, ground_truth(0), renumbered(1), of(0, 1))
    assert {one["category_id"] for one in found} == {0, 1}
    assert "as one less: of 80 boxes 80 then lie" in notes[0]


@pytest.mark.parametrize("classes", [(0, 1, 2), (1, 2), (0,), (1,)])
def test_right_classes_stay(path: Path, classes: tuple[int, ...]):
    truth = ground_truth(0)
    found, notes = read(path, truth, renumbered(0), of(*classes))
    assert {one["category_id"] for one in found} == set(classes)
    assert notes == ()


def test_unknown_classes_whose_boxes_lie_nowhere_are_refused_by_name(path: Path):
    with pytest.raises(UserError, match="unknown category_id 3") as caught:
        read(path, ground_truth(0), lambda e: {**renumbered(1)(e), "bbox": [0.0, 60.0, 5.0, 5.0]})
    assert "the annotation file has 0 cell, 1 plate, 2 drop" in str(caught.value)


def test_so_are_unknown_ones_where_fewer_boxes_would_lie_on_objects_of_their_class(path: Path):
    def renamed(entry: dict) -> dict:
        return {**entry, "category_id": {0: 1, 1: 1, 2: 3}[entry["category_id"]]}

    with pytest.raises(UserError, match="unknown category_id 3"):
        read(path, ground_truth(0), lambda e: {**e, "category_id": e["category_id"] or 3}, of(0, 1))
    assert len(read(path, ground_truth(0), renamed)[1]) == 1


def test_one_known_class_on_objects_of_the_next_is_the_detectors_own_mistake(path: Path):
    """It is told of and stays: a detector may take everything for the most frequent class."""
    found, notes = read(path, ground_truth(0), renumbered(1), of(0))
    assert {one["category_id"] for one in found} == {1}
    assert len(notes) == 1
    assert "of 40 objects that found.json takes for 1 plate, only 0 are" in notes[0]


def test_known_classes_stay_unless_far_more_boxes_fit_otherwise(path: Path):
    """Of 80 boxes 20 are right as they stand, 60 would be with one less."""

    def mostly(entry: dict) -> dict:
        right = entry["category_id"] == 1 and entry["image_id"] % 2
        return entry if right else renumbered(1)(entry)

    found, notes = read(path, ground_truth(0), mostly, of(0, 1))
    assert {one["category_id"] for one in found} == {1, 2}
    assert notes[0].startswith("of 20 objects that found.json takes for 2 drop, only 0 are")


def test_entries_that_are_not_whole_are_errors_as_ever(path: Path):
    with pytest.raises(UserError, match=r"found\.json\[0\].*has no bbox"):
        read(path, ground_truth(0), lambda e: {k: e[k] for k in e if k != "bbox"})
    with pytest.raises(UserError, match=r"unknown category_id \[1\]"):
        read(path, ground_truth(0), lambda e: {**e, "category_id": [1]})
    path.write_text('{"a": 1}')
    with pytest.raises(UserError, match="holds an object, not a list"):
        read_detected_elsewhere(path, ground_truth(0))


def corners(entry: dict) -> dict:
    x, y, w, h = entry["bbox"]
    return {**entry, "bbox": [x + 25, y + 25, x + w + 25, y + h + 25]}


def swapped(entry: dict) -> dict:
    return {**entry, "category_id": {0: 2, 1: 0, 2: 1}[entry["category_id"]]}


@pytest.mark.parametrize(
    ("change", "keep", "doubt"),
    [
        (
            swapped, bool,
            "of 120 objects that found.json takes for 0 cell, 1 plate, 2 drop, only 0 are: are its "
            "class ids those of the annotations?",
        ),
        (
            dict, lambda entry: entry["image_id"] % 4 > 0,
            "found.json has no detections in 10 of 40 images with objects: is it whole?",
        ),
        (
            lambda e: {**e, "bbox": [side / SIDE for side in e["bbox"]]}, bool,
            "no box of found.json is longer than a pixel: fractions in place of pixels?",
        ),
        (
            corners, bool,
            "80 of 120 boxes in found.json end beyond their image: corners, not x, y, w, h?",
        ),
    ],
)  # fmt: skip
def test_doubtful_files_are_told_of(path: Path, change: Change, keep: Change, doubt: str):
    _, notes = read(path, ground_truth(0), change, keep)
    assert notes == (doubt,)


@pytest.mark.parametrize(
    ("change", "keep", "levels"),
    [
        (renumbered(1), bool, ["remark"]),
        (renumbered(1), lambda entry: entry["image_id"] % 4 > 0, ["remark", "doubtful"]),
        (swapped, lambda entry: entry["image_id"] % 4 > 0, ["doubtful", "doubtful"]),
        (corners, bool, ["doubtful"]),
        (lambda e: {**e, "bbox": [side / SIDE for side in e["bbox"]]}, bool, ["doubtful"]),
        (dict, lambda entry: False, []),  # as of any detector, the meter tells of it
    ],
)
def test_what_is_put_right_casts_no_doubt_on_numbers_and_all_else_does(
    path: Path, change: Change, keep: Change, levels: list[str]
):
    truth = ground_truth(0)
    read(path, truth, change, keep)
    _, findings = read_detected_elsewhere(path, truth)
    assert [one.level for one in findings] == levels
    few = Finding("few_images", params={"images": 9})
    measured = [Measurement("ap", 0.5, warnings=(few,)), Measurement("ap50", 0.5)]
    told = [one.warnings for one in with_findings(measured, findings)]
    assert told == [(few, *findings), findings]


def test_a_detector_that_misses_some_and_confuses_some_is_not_doubtful(path: Path):
    def poor(entry: dict) -> dict:
        return swapped(entry) if entry["image_id"] % 2 else entry

    _, notes = read(path, ground_truth(0), poor, lambda e: e["image_id"] % 12 > 0)
    assert notes == ("found.json has no detections in 4 of 40 images with objects: is it whole?",)
    _, findings = read_detected_elsewhere(path, ground_truth(0))
    assert [one.level for one in findings] == ["remark"]


def test_rare_classes_that_are_exchanged_are_told_of_whatever_the_frequent_one_hides(path: Path):
    """Of the classes only the boxes with the highest score count: a detector's many weak boxes
    lie on objects of any class."""
    truth = ground_truth(0)
    frequent = tuple(
        {"image_id": image, "category_id": 1, "bbox": [2.0 * k, 60.0 + 2 * k, 8.0, 8.0]}
        for image in range(IMAGES)
        for k in range(10)
    )
    truth = replace(truth, annotations=(*truth.annotations, *frequent))

    def exchanged(entry: dict) -> dict:
        return {**entry, "category_id": {0: 2, 1: 1, 2: 0}[entry["category_id"]]}

    _, (told,) = read(path, truth, exchanged)
    assert told.startswith("of 80 objects that found.json takes for 0 cell, 2 drop, only 0 are")
    right = [{**one, "score": 0.5} for one in truth.annotations]
    weak = [{**exchanged(one), "score": 0.1} for one in right]
    path.write_text(json.dumps([*weak, *right]))
    assert read_detected_elsewhere(path, truth)[1] == ()


def test_boxes_that_lie_on_nothing_are_told_of(path: Path):
    """Such as centres in place of corners, or pixels of another size."""

    def centres(entry: dict) -> dict:
        x, y, w, h = entry["bbox"]
        return {**entry, "bbox": [x + w / 2, y + h / 2, w, h]}

    _, (told,) = read(path, ground_truth(0), centres)
    assert told.startswith("only 0 of 120 objects have a box of found.json on them, by an IoU of a")
