"""Data that cannot be used: one line on stderr, exit code 2, and no run is begun."""

# ruff: noqa: E501  a line of a table is a mistake and the line that answers it

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_suite import make_coco, write_manifest

Document = dict[str, Any]


def annotation(**changes: object) -> Callable[[Document], None]:
    return lambda document: document["annotations"][1].update(changes)


def image(**changes: object) -> Callable[[Document], None]:
    return lambda document: document["images"][1].update(changes)


ANNOTATIONS = {
    "unknown category": (annotation(category_id=99), "category_id 99 is unknown (there is: 3, 7)"),
    "absent image": (annotation(image_id=99), "image_id 99 is not an image of the file"),
    "negative box": (annotation(bbox=[1, 1, -3, 4]), "has a negative size"),
    "box outside": (annotation(bbox=[900, 1, 3, 4]), "lies outside its image of 64x48"),
    "climbing": (image(file_name="../../etc/passwd"), "climbs out of the image folder"),
    "absolute": (image(file_name="/etc/passwd"), "climbs out of the image folder"),
    "no categories": (lambda d: d.pop("categories"), "has no 'categories'"),
    "no images": (lambda d: d["images"].clear(), "images: is empty"),
    "no boxes": (lambda d: d["annotations"].clear(), "has no boxes at all"),
    "missing file": (image(file_name="nowhere.jpg"), "1 of 4 images cannot be used: nowhere.jpg is missing"),
    "another size": (image(width=33), "2.jpg"),
}  # fmt: skip


@pytest.mark.parametrize("case", ANNOTATIONS)
def test_annotations(cli, tmp_path: Path, case: str):
    edit, expected = ANNOTATIONS[case]
    check(cli, tmp_path, make_coco(tmp_path / "coco", edit=edit), expected)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


FILES = {
    "truncated": (truncate, "2.jpg"),
    "no image": (lambda path: path.write_text("hello"), "2.jpg"),
    "empty": (lambda path: path.write_bytes(b""), "2.jpg is empty"),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "2.jpg is not a file"),
    "link to itself": (lambda path: (path.unlink(), path.symlink_to(path)), "2.jpg"),
}


@pytest.mark.parametrize("case", FILES)
def test_image_files(cli, tmp_path: Path, case: str):
    spoil, expected = FILES[case]
    root = make_coco(tmp_path / "coco")
    spoil(root / "val" / "2.jpg")
    check(cli, tmp_path, root, expected)


JSON = {
    "not json": ("{", "instances_val.json:1:2: is not JSON, or truncated"),
    "empty": ("", "is not JSON, or truncated"),
    "a list": ("[]", "holds a list of 0, not an object"),
    "nested": ("[" * 100_000, "is not JSON: RecursionError"),
    "other classes": (
        json.dumps({"images": [{"id": 1, "file_name": "1.jpg", "width": 64, "height": 48}],
                    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}],
                    "categories": [{"id": 1, "name": "cat"}]}),
        "has other categories than",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", JSON)
def test_annotation_files(cli, tmp_path: Path, case: str):
    text, expected = JSON[case]
    root = make_coco(tmp_path / "coco")
    (root / "annotations" / "instances_val.json").write_text(text)
    check(cli, tmp_path, root, expected)


def test_a_folder_without_the_layout(cli, tmp_path: Path):
    (tmp_path / "coco").mkdir()
    check(
        cli, tmp_path, tmp_path / "coco", "looked for, with train or val as {split}: annotations/"
    )


def check(cli, folder: Path, root: Path, expected: str) -> None:
    write_manifest(folder / "m.yaml", root)
    done = cli("run", "m.yaml", "--run-id", "bad")
    assert expected in done.mistake
    assert str(root) in done.mistake
    assert done.code == 2
    assert not (folder / "results").exists()


def test_sets_without_small_objects_are_measured_and_say_so(cli, tmp_path: Path):
    def enlarge(document: Document) -> None:
        for entry in document["annotations"]:
            entry.update(bbox=[2, 2, 50, 40], area=2000)

    write_manifest(tmp_path / "m.yaml", make_coco(tmp_path / "coco", edit=enlarge))
    done = cli("run", "m.yaml", "--stages", "evaluate", "--run-id", "large")
    assert done.code == 0
    assert "no small objects" in done.err


def test_boxes_without_area_are_noted(cli, tmp_path: Path):
    def empty(document: Document) -> None:
        document["annotations"][0].update(bbox=[2, 2, 0, 5], area=0)

    write_manifest(tmp_path / "m.yaml", make_coco(tmp_path / "coco", edit=empty))
    done = cli("run", "m.yaml", "--stages", "evaluate", "--run-id", "zero")
    assert done.code == 0
    assert "1 boxes of zero size" in done.err
