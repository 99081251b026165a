"""Reading annotation files: what is read, what is an error, what is counted."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.data.annotations import Annotations, read_annotations
from harness.errors import UserError

Write = Callable[[Any], Path]


def error_line(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_annotations(path)
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    assert line.endswith(")"), "says what would do"
    return line


def test_valid_file_is_read_by_image_and_by_category_id(document: Any, write: Write) -> None:
    annotations = read_annotations(write(document))
    assert annotations.classes == ("apple", "zebra")
    assert annotations.category_ids == (4, 9)
    assert [image.id for image in annotations.images] == [7, 3]
    assert annotations.of_image(0).boxes.tolist() == [[0.5, 1, 10.5, 21]]
    assert annotations.of_image(1).ids.tolist() == [1, 5]
    assert annotations.of_image(1).labels.tolist() == [1, 0]
    assert annotations.of_image(1).boxes[1].tolist() == [10, 10, 60, 30]


def test_unchanged_file_is_read_once_and_a_changed_one_again(document: Any, write: Write) -> None:
    first = read_annotations(write(document))
    assert read_annotations(first.path) is first
    document["categories"][0]["name"] = "zebra crossing"
    assert read_annotations(write(document)).classes == ("apple", "zebra crossing")


def change(path: str, value: Any) -> Callable[[Any], None]:
    """Set document[a][b][c] for "a.b.c"; `...` deletes."""

    def apply(document: Any) -> None:
        *way, last = (int(k) if k.isdigit() else k for k in path.split("."))
        for key in way:
            document = document[key]
        if value is ...:
            del document[last]
        else:
            document[last] = value

    return apply


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("images", ..., "has no 'images'"),
        ("annotations", ..., "has no 'annotations'"),
        ("categories", ..., "has no 'categories'"),
        ("images", {}, "needs a list"),
        ("images", [], "is empty"),
        ("categories", [], "is empty"),
        ("annotations.0", 5, "annotations[0]: is 5"),
        ("annotations.0.id", True, "id is True"),
        ("annotations.0.id", 10**30, "needs a whole number"),
        ("images.0.id", 3, "images[1]: id 3 occurs twice"),
        ("categories.0.id", 4, "categories[1]: id 4 occurs twice"),
        ("categories.0.name", "apple", "name 'apple' occurs twice"),
        ("categories.0.name", "", "printable name"),
        ("annotations.0.image_id", 99, "image_id 99 is not an image"),
        ("annotations.0.category_id", 77, "category_id 77 is unknown (there is: 4, 9)"),
        ("annotations.0.bbox", ..., "has no 'bbox'"),
        ("annotations.0.bbox", [1, 2, 3], "a list of 3"),
        ("annotations.0.bbox", [1, 2, "3", 4], "bbox is '3'"),
        ("annotations.0.bbox", [1, 2, math.nan, 4], "bbox is nan"),
        ("annotations.0.bbox", [1, 2, math.inf, 4], "bbox is inf"),
        ("annotations.0.bbox", [1, 2, 10**400, 4], "needs a finite number"),
        ("annotations.0.bbox", [1, 2, -3, 4], "negative size"),
        ("annotations.0.bbox", [90, 2, 3, 4], "lies outside its image of 80x60"),
        ("annotations.0.bbox", [-9, 2, 3, 4], "lies outside its image of 80x60"),
        ("annotations.0.area", -1, "area is -1"),
        ("annotations.0.area", math.nan, "area is nan"),
        ("annotations.0.iscrowd", 2, "iscrowd is 2"),
        ("images.0.width", ..., "has no 'width'"),
        ("images.0.height", 0, "needs at least 1 pixel"),
        ("images.0.width", 64.5, "needs a whole number"),
        ("images.0.file_name", "../a.jpg", "climbs out"),
        ("images.0.file_name", "x/../../a.jpg", "climbs out"),
        ("images.0.file_name", "/etc/passwd", "climbs out"),
        ("images.0.file_name", "..\\a.jpg", "climbs out"),
        ("images.0.file_name", "C:\\a.jpg", "climbs out"),
        ("images.0.file_name", "a\0.jpg", "printable name"),
        ("images.0.file_name", "\ud800.jpg", "printable name"),
        ("images.0.file_name", "a" * 5000, "too long"),
        ("images.0.file_name", None, "file_name is None"),
    ],
)
def test_each_mistake_is_one_line_that_names_the_place(
    document: Any, write: Write, path: str, value: Any, expected: str
) -> None:
    change(path, value)(document)
    assert expected in error_line(write(document))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "not json",
        '{"images": [',
        "[" * 100_000,
        '{"images": ' + "9" * 5000 + "}",
        "[]",
        "3",
    ],
)
def test_what_is_no_json_object_is_one_line(write: Write, text: str) -> None:
    error_line(write(text))


def test_truncation_names_line_and_column(document: Any, write: Write) -> None:
    text = json.dumps(document, indent=1)
    assert ":2:" in error_line(write(text[:8])) or "truncated" in error_line(write(text[:8]))
    assert "truncated" in error_line(write(text[: len(text) // 2]))


def test_a_file_that_is_no_text_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"\xff\xfe\x00\xd8" * 10)
    error_line(tmp_path / "x.json")
    assert "cannot be read" in error_line(tmp_path / "absent.json")
    assert "cannot be read" in error_line(tmp_path)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("annotations.0.bbox", [5, 5, 0, 9], "1 boxes of zero size"),
        ("annotations.0.bbox", [-5, 5, 30, 9], "1 boxes reach outside"),
        ("annotations.0.bbox", [60, 5, 30, 9], "1 boxes reach outside"),
        ("annotations.0.iscrowd", ..., "1 annotations without 'iscrowd'"),
        ("annotations.0.area", ..., "1 annotations without 'area'"),
        ("images.0.file_name", "b.jpg", "1 images name a file"),
        ("annotations.0.category_id", 4, "1 of 2 classes have no box: zebra"),
        ("annotations", [], "no boxes at all"),
    ],
)
def test_what_is_tolerated_is_counted(
    document: Any, write: Write, path: str, value: Any, expected: str
) -> None:
    change(path, value)(document)
    assert any(expected in line for line in read_annotations(write(document)).warnings)


def test_absent_size_bins_are_named(document: Any, write: Write) -> None:
    for more, annotation in enumerate(document["annotations"]):
        annotation["area"] = 5000 + more
    warnings = read_annotations(write(document)).warnings
    assert [line.split(":")[0] for line in warnings if line.startswith("no ")] == [
        "no small objects (area 0 to 1024)",
        "no large objects (area 9216 or more)",
    ]


def test_half_a_pixel_over_the_edge_is_rounding(document: Any, write: Write) -> None:
    document["annotations"][0]["bbox"] = [-0.5, 0, 30, 60.5]
    assert not [line for line in read_annotations(write(document)).warnings if "reach" in line]


def test_training_leaves_out_crowds_and_empty_boxes_and_clips(document: Any, write: Write) -> None:
    document["annotations"] = [
        {"id": i, "image_id": 3, "category_id": 4, "bbox": box, "area": 1, "iscrowd": crowd}
        for i, (box, crowd) in enumerate(
            [([-5, -5, 20, 20], 0), ([1, 1, 9, 9], 1), ([4, 4, 0, 3], 0), ([79.5, 1, 9, 9], 0)]
        )
    ]
    annotations = read_annotations(write(document))
    assert annotations.trainable(1).ids.tolist() == [0]
    assert annotations.trainable(1).boxes.tolist() == [[0, 0, 15, 15]]
    assert annotations.of_image(1).boxes[0].tolist() == [-5, -5, 15, 15], "the file's stay"
    assert not len(annotations.trainable(0))


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
KEYS = ["id", "image_id", "category_id", "bbox", "area", "iscrowd", "file_name", "width", "name"]
small = st.integers(-1, 4) | st.floats(-5, 70)
likely = (
    values | small | st.lists(small, min_size=4, max_size=4) | st.sampled_from(["a", "b/c.jpg"])
)
entries = st.lists(st.dictionaries(st.sampled_from([*KEYS, "height"]), likely) | values, max_size=3)
documents = values | st.fixed_dictionaries(
    {"images": entries, "annotations": entries, "categories": entries}
)
mutations = st.lists(
    st.tuples(
        st.sampled_from(["images", "annotations", "categories"]),
        st.integers(0, 2),
        st.sampled_from([*KEYS, "height"]),
        likely,
    ),
    max_size=3,
)
quick = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def check_parses_or_explains(path: Path) -> None:
    line = ""
    try:
        check_consistent(read_annotations(path))
    except UserError as error:
        line = str(error)
    assert len(line.splitlines()) <= 1


def check_consistent(annotations: Annotations) -> None:
    assert len(annotations.offsets) == len(annotations.images) + 1
    assert annotations.offsets[-1] == len(annotations.objects)
    assert np.isfinite(annotations.objects.boxes).all()
    for i, image in enumerate(annotations.images):
        boxes = annotations.trainable(i).boxes
        assert (boxes >= 0).all()
        assert (boxes[:, 2:] <= (image.width, image.height)).all()
        assert (boxes[:, 2:] - boxes[:, :2] >= 1).all()


@quick
@given(content=documents)
def test_any_json_parses_or_explains(content: Any, write: Write) -> None:
    check_parses_or_explains(write(content))


@quick
@given(changes=mutations)
def test_a_file_with_a_few_odd_values_parses_or_explains(
    changes: list[tuple[str, int, str, Any]], document: Any, write: Write
) -> None:
    changed = json.loads(json.dumps(document))
    for group, position, key, value in changes:
        if position < len(changed[group]):
            changed[group][position][key] = value
    check_parses_or_explains(write(changed))


@quick
@given(data=st.binary(max_size=60))
def test_any_bytes_parse_or_explain(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bytes.json"
    path.write_bytes(data)
    check_parses_or_explains(path)


def test_repeated_boxes_are_counted_and_other_objects_of_one_place_are_not(
    document: Any, write: Write
) -> None:
    def told() -> list[str]:
        return [w for w in read_annotations(write(document)).warnings if "more than once" in w]

    first = document["annotations"][0]
    other = next(c["id"] for c in document["categories"] if c["id"] != first["category_id"])
    document["annotations"].append({**first, "id": 901, "category_id": other})
    assert told() == []
    document["annotations"] += [{**first, "id": 902}, {**first, "id": 903}]
    assert [line.split()[0] for line in told()] == ["2"]


def test_an_area_that_is_the_same_for_all_boxes_is_the_boxes_own(
    document: Any, write: Write
) -> None:
    for annotation in document["annotations"]:
        annotation["area"] = 1.0
    read = read_annotations(write(document))
    assert sorted(read.objects.areas) == [200, 1000, 1200]
    assert any("one area for all" in warning for warning in read.warnings)


def test_what_a_file_probably_means_is_said(document: Any, write: Write) -> None:
    def said(boxes: list[list[float]], image: int = 3) -> str:
        first = document["annotations"][0]
        document["annotations"] = [
            {**first, "id": n, "image_id": image, "bbox": box, "area": box[2] * box[3]}
            for n, box in enumerate(boxes)
        ]
        return "\n".join(read_annotations(write(document)).warnings)

    assert "corners x1, y1" in said([[40, 30, 70, 50], [50, 10, 79, 40]])
    assert "fractions" in said([[0.5, 0.5, 0.1, 0.2], [0.1, 0.2, 0.3, 0.4]])
    assert "1 boxes occur more than once" in said([[1, 2, 9, 8], [1, 2, 9, 8], [1, 2, 9, 9]])
    assert "1 of 2 images hold no box" in said([[1, 2, 9, 8]])
    assert "1 image holds more than 100" in said([[1, 2, 9 + n / 10, 8] for n in range(101)])
    plain = said([[1, 2, 9, 8], [20, 2, 7, 8]])
    assert not any(word in plain for word in ("corners", "fractions", "more than"))
