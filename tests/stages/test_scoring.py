"""Reading, checking and writing of detections files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.stages import detections_file
from harness.stages.detections_file import check_detections, read_detections, write_detections
from harness.stages.inputs import EvaluationInput, GroundTruth
from harness.stages.scoring import evaluate, read_ground_truth, restrict

GOOD = {"image_id": 7, "category_id": 3, "bbox": [1.5, 2, 30, 40], "score": 0.1 + 0.2}


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    box = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 30, 40], "area": 1200}
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 90, "height": 90} for i in (7, 8)],
        "categories": [{"id": 5, "name": "b"}, {"id": 3, "name": "a"}],
        "annotations": [{**box, "iscrowd": 0}],
    }
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content))
    return path


def read(annotations: Path, text: str | bytes):
    path = annotations.with_name("found.json")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_detections(path, read_ground_truth(annotations))


@pytest.mark.parametrize(
    ("text", "place", "found"),
    [
        ("", "found.json", "is not JSON"),
        ("[{", "found.json", "is not JSON"),
        (b"\xff\xfe\x00", "found.json", "is not JSON"),
        ("[" * 100_000, "found.json", "is not JSON"),
        ('{"annotations": []}', "found.json", "holds an object, not a list"),
        ('"boxes"', "found.json", "holds a string, not a list"),
        ("3", "found.json", "holds 3, not a list"),
        ("[3]", "found.json[0]", "is 3, not an object"),
        ({"score": None}, "found.json[1]", "score is None"),
        ({"score": float("nan")}, "found.json[1]", "score is nan"),
        ({"score": True}, "found.json[1]", "score is True"),
        ({"bbox": [1, 2, float("nan"), 4]}, "found.json[1]", "bbox is [1, 2, nan, 4]"),
        ({"bbox": [1, 2, float("inf"), 4]}, "found.json[1]", "bbox is [1, 2, inf, 4]"),
        ({"bbox": [1, 2, 3]}, "found.json[1]", "bbox is [1, 2, 3]"),
        ({"bbox": "1234"}, "found.json[1]", "bbox is '1234'"),
        ({"bbox": [1, 2, -3, 4]}, "found.json[1]", "negative side"),
        ({"image_id": 99}, "found.json[1]", "unknown image_id 99"),
        ({"image_id": "9"}, "found.json[1]", "unknown image_id '9'"),
        ({"image_id": [7]}, "found.json[1]", "unknown image_id [7]"),
        ({"category_id": 0}, "found.json[1]", "unknown category_id 0"),
        ({"category_id": 1.5}, "found.json[1]", "unknown category_id 1.5"),
        ({"image_id": 1.5}, "found.json[1]", "unknown image_id 1.5"),
    ],
)
def test_bad_detections_are_one_clear_line(annotations, text, place, found):
    if isinstance(text, dict):
        text = json.dumps([GOOD, {**GOOD, **text}])
    with pytest.raises(UserError) as caught:
        read(annotations, text)
    line = str(caught.value)
    assert line.startswith(str(annotations.with_name(place)) + ": ")
    assert found in line
    assert "\n" not in line


def test_missing_keys_are_named(annotations):
    with pytest.raises(UserError, match=r"found\.json\[0\]: has no bbox, score"):
        read(annotations, json.dumps([{"image_id": 7, "category_id": 3}]))


def test_missing_file_is_named(annotations, tmp_path):
    with pytest.raises(UserError, match=r"absent\.json: cannot be read: No such file"):
        evaluate(annotations, tmp_path / "absent.json", [])


@pytest.mark.parametrize(
    ("content", "found"),
    [("[]", "not an object"), ('{"images": []}', "images: is empty"), ("oops", "is not JSON")],
)
def test_bad_annotation_file_is_one_clear_line(annotations, content, found):
    annotations.write_text(content)
    with pytest.raises(UserError, match=found) as caught:
        evaluate(annotations, [], [])
    assert str(annotations) in str(caught.value)


def named(annotations: Path, files: dict[int, str]) -> None:
    content = json.loads(annotations.read_text())
    for image in content["images"]:
        image["file_name"] = files[image["id"]]
    annotations.write_text(json.dumps(content))


@pytest.mark.parametrize("name", ["val/a.b.jpg", "a.b.jpg", "a.b"])
def test_file_names_stand_for_image_ids(annotations, name):
    named(annotations, {7: "val/a.b.jpg", 8: "val/c.jpg"})
    found = [{**GOOD, "image_id": name}, {**GOOD, "image_id": 8}]
    read_back = read(annotations, json.dumps(found))
    assert [entry["image_id"] for entry in read_back] == [7, 8]


def test_file_name_of_several_images_is_refused_but_its_path_is_read(annotations):
    named(annotations, {7: "one/a.jpg", 8: "two/a.jpg"})
    with pytest.raises(UserError, match=r"found.json\[0\].*'a' names several images .*7, 8"):
        read(annotations, json.dumps([{**GOOD, "image_id": "a"}]))
    (entry,) = read(annotations, json.dumps([{**GOOD, "image_id": "two/a.jpg"}]))
    assert entry["image_id"] == 8


def test_path_of_one_image_that_is_the_name_of_another_means_the_first(annotations):
    named(annotations, {7: "a.jpg", 8: "two/a.jpg"})
    (entry,) = read(annotations, json.dumps([{**GOOD, "image_id": "a.jpg"}]))
    assert entry["image_id"] == 7


def test_text_that_is_one_image_s_id_and_another_s_name_is_refused(annotations):
    named(annotations, {7: "8.jpg", 8: "b.jpg"})
    with pytest.raises(UserError, match="'8' names several images"):
        read(annotations, json.dumps([{**GOOD, "image_id": "8"}]))


def test_ids_that_a_table_of_floats_wrote_are_integers(annotations):
    (entry,) = read(annotations, json.dumps([{**GOOD, "image_id": 8.0, "category_id": 3.0}]))
    assert (entry["image_id"], entry["category_id"]) == (8, 3)
    assert {type(entry[key]) for key in ("image_id", "category_id")} == {int}


def numbered(*names: str) -> GroundTruth:
    """Images 0, 1, 2 ... under those names, an object in each, further right in each."""
    boxes = [
        {**GOOD, "image_id": i, "bbox": [40.0 * i, 0.0, 30.0, 30.0]} for i in range(len(names))
    ]
    return GroundTruth(tuple(range(len(names))), {3: "a"}, tuple(boxes), "", file_names=names)


def at(image: float, place: int) -> dict[str, object]:
    """A box on the object of the image that comes at that place."""
    return {**GOOD, "image_id": image, "bbox": [40.0 * place, 0.0, 30.0, 30.0]}


def test_numbers_that_are_no_ids_but_names_of_files_stand_for_those():
    truth = numbered("val/0012.jpg", "val\\0007.jpg", "0001.png")
    found = check_detections([at(12, 0), at(7.0, 1)], truth, where="x")
    assert [entry["image_id"] for entry in found] == [0, 1]


def test_one_number_that_is_neither_is_refused():
    with pytest.raises(UserError, match="unknown image_id 12"):
        check_detections([at(12, 0), at(99, 1)], numbered("12.jpg", "7.jpg"), where="x")


def test_a_number_that_names_two_files_is_refused():
    with pytest.raises(UserError, match="unknown image_id 12"):
        check_detections([at(12, 0)], numbered("a/12.jpg", "b/12.jpg"), where="x")


def test_numbers_that_may_be_either_are_ids_where_the_boxes_agree():
    truth = numbered("1.jpg", "2.jpg", "0.jpg")
    found = check_detections([at(0, 0), at(1, 1), at(2, 2)], truth, where="x")
    assert [entry["image_id"] for entry in found] == [0, 1, 2]


def test_numbers_that_may_be_either_are_refused_where_boxes_lie_on_objects_as_names():
    truth = numbered("1.jpg", "2.jpg", "0.jpg")
    with pytest.raises(UserError, match="1 boxes lie on objects by ids, 2 by names"):
        check_detections([at(1, 0), at(2, 1), at(2, 2)], truth, where="x")


def test_file_names_beside_the_numbers_decide():
    truth = numbered("1.jpg", "2.jpg", "0.jpg")
    found = [{**at(1, 0), "file_name": "1.jpg"}, {**at(2, 1), "file_name": "2.jpg"}]
    checked = check_detections(found, truth, where="x")
    assert checked == (at(0, 0), at(1, 1))
    found[1]["file_name"] = "other.jpg"  # not of these images: the numbers are what they were
    with pytest.raises(UserError, match="2 by names"):
        check_detections(found, truth, where="x")


def test_names_that_are_the_ids_change_nothing():
    truth = numbered("000.jpg", "001.jpg")
    assert check_detections([at(1, 0)], truth, where="x") == (at(1, 0),)


def test_unknown_file_name_is_refused(annotations):
    with pytest.raises(UserError, match="unknown image_id 'z'"):
        read(annotations, json.dumps([{**GOOD, "image_id": "z"}]))


def test_written_detections_are_read_back_with_every_digit(annotations, tmp_path):
    path = tmp_path / "new" / "detections.json"
    write_detections(path, [GOOD])
    assert read_detections(path, read_ground_truth(annotations)) == (GOOD,)
    assert [p.name for p in path.parent.iterdir()] == ["detections.json"]


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "detections.json"
    write_detections(path, [GOOD])
    with pytest.raises(ValueError, match="JSON compliant"):
        write_detections(path, [{**GOOD, "score": float("nan")}])
    assert json.loads(path.read_text()) == [GOOD]
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_folder_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_detections(tmp_path / "file" / "detections.json", [GOOD])


def test_categories_come_in_the_order_of_their_ids(annotations):
    assert list(read_ground_truth(annotations).categories.items()) == [(3, "a"), (5, "b")]


def test_restricting_keeps_truth_and_detections_of_those_images(annotations):
    truth = read_ground_truth(annotations)
    given = EvaluationInput(truth, (GOOD, {**GOOD, "image_id": 8}))
    part = restrict(given, [8])
    assert part.ground_truth.image_ids == (8,)
    assert part.ground_truth.annotations == ()
    assert [d["image_id"] for d in part.detections] == [8]
    assert restrict(given, None) is given


def test_scoring_needs_no_torch():
    code = (
        "import sys, harness.stages.scoring, harness_plugins.meters.coco_ap as m;"
        "m._backend('faster_coco_eval'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


NUMBERS = st.one_of(
    st.floats(0, 90), st.sampled_from([1, -1.0, True, None, "1", float("nan"), float("inf")])
)
ODD = st.one_of(
    st.just({"area": 3.0}),
    st.builds(lambda value: {"score": value}, NUMBERS),
    st.builds(lambda value: {"bbox": value}, st.lists(NUMBERS, max_size=5)),
    st.builds(lambda value: {"bbox": value}, st.sampled_from([(1.0, 2.0, 3.0, 4.0), "abcd", None])),
    st.builds(lambda value: {"image_id": value}, st.sampled_from([8, 9, 7.0, True, None, "7"])),
    st.builds(lambda value: {"category_id": value}, st.sampled_from([5, 6, 3.0, False, None])),
)
ENTRIES = st.lists(st.one_of(st.just({}), st.just({}), ODD), max_size=4)


@given(ENTRIES, st.integers(0, 8))
def test_the_quick_check_lets_through_what_the_slow_one_does(changes, missing):
    truth = GroundTruth((7, 8), {3: "a", 5: "b"}, (), "")
    plain = {**GOOD, "bbox": [1.5, 2.0, 30.0, 40.0]}
    content = [{**plain, **change} for change in changes]
    if content and missing < 4:
        del content[-1][detections_file.KEYS[missing]]

    def outcome():
        try:
            return check_detections(content, truth, where="x")
        except UserError as error:
            return str(error)

    quick = outcome()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detections_file, "is_plain", lambda *_: False)
        slow = outcome()
    assert quick == slow
    assert repr(quick) == repr(slow), "types too"


def test_what_the_harness_writes_takes_the_quick_check(annotations, tmp_path):
    path = tmp_path / "written.json"
    entry = {**GOOD, "bbox": [1.5, 2.0, 30.0, 40.0]}
    write_detections(path, [entry] * 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detections_file, "_check_detection", lambda *_: pytest.fail("slow"))
        assert read_detections(path, read_ground_truth(annotations)) == (entry,) * 3
