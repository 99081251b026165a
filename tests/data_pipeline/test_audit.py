"""All mistakes of a data set at once, by kind, with a verdict; in every layout."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.data.annotations import read_annotations
from harness.data.audit import Audit, audit
from harness.data.faults import REMEDIES
from harness.data.folder import CocoFolder, check_same_classes, check_split
from harness.errors import UserError

SIZE = (64, 40)
BOXES = [[4, 6, 16, 12], [30, 10, 8, 8]]  # x, y, width, height, of classes 1 and 2
IMAGES = 8  # of each split


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))


def photo(path: Path, grey: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((SIZE[1], SIZE[0], 3), grey, np.uint8)).save(path)


def coco(root: Path) -> Path:
    for place, split in enumerate(("train", "val")):
        images, annotations = [], []
        for n in range(1, IMAGES + 1):
            photo(root / split / f"{n}.png", 10 * n + 100 * place)
            size = {"width": SIZE[0], "height": SIZE[1]}
            images.append({"id": n, "file_name": f"{n}.png", **size})
            for c, box in enumerate(BOXES, 1):
                ids = {"id": 2 * n + c, "image_id": n, "category_id": c}
                annotations.append({**ids, "bbox": box, "area": box[2] * box[3], "iscrowd": 0})
        categories = [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}]
        document = {"images": images, "annotations": annotations, "categories": categories}
        write(root / "annotations" / f"instances_{split}.json", json.dumps(document))
    return root


def yolo(root: Path) -> Path:
    write(root / "data.yaml", "train: images/train\nval: images/val\nnames: [one, two]\n")
    for place, split in enumerate(("train", "val")):
        for n in range(1, IMAGES + 1):
            photo(root / "images" / split / f"{n}.png", 10 * n + 100 * place)
            lines = [
                f"{c} {(x + w / 2) / SIZE[0]} {(y + h / 2) / SIZE[1]} {w / SIZE[0]} {h / SIZE[1]}"
                for c, (x, y, w, h) in enumerate(BOXES)
            ]
            write(root / "labels" / split / f"{n}.txt", "\n".join(lines))
    return root


def voc(root: Path) -> Path:
    for place, split in enumerate(("train", "val")):
        names = [f"{split}{n}" for n in range(1, IMAGES + 1)]
        write(root / "ImageSets" / "Main" / f"{split}.txt", "\n".join(names))
        for n, name in enumerate(names, 1):
            photo(root / "JPEGImages" / f"{name}.png", 10 * n + 100 * place)
            objects = "".join(
                f"<object><name>{c}</name><bndbox><xmin>{x + 1}</xmin><ymin>{y + 1}</ymin>"
                f"<xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>"
                for c, (x, y, w, h) in zip(("one", "two"), BOXES, strict=True)
            )
            size = f"<size><width>{SIZE[0]}</width><height>{SIZE[1]}</height></size>"
            write(root / "Annotations" / f"{name}.xml", f"<a>{size}{objects}</a>")
    return root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def edit_val(root: Path, change: Callable[[Any], object]) -> None:
    path = root / "annotations" / "instances_val.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def counts(found: Audit, name: str = "val") -> dict[str, int]:
    """Of what stops a run, by kind."""
    [split] = [one for one in found.splits if one.name == name]
    return {fault.kind: fault.count for fault in split.faults if fault.stops}


def noted(found: Audit, name: str = "val") -> dict[str, int]:
    [split] = [one for one in found.splits if one.name == name]
    return {fault.kind: fault.count for fault in split.faults if not fault.stops}


@pytest.mark.parametrize("make", [coco, yolo, voc])
@pytest.mark.parametrize("thorough", [False, True])
def test_a_good_set_is_trainable_and_evaluable(
    make: Callable[[Path], Path], thorough: bool, tmp_path: Path
) -> None:
    found = audit(CocoFolder(make(tmp_path)), thorough)
    assert found.is_trainable
    assert found.is_evaluable
    assert found.verdict().startswith("trainable and evaluable; the notes say")
    assert ("--thorough" in found.verdict()) is not thorough


def test_every_mistake_of_a_file_is_counted_by_kind(tmp_path: Path) -> None:
    def spoil(document: Any) -> None:
        a, images = document["annotations"], document["images"]
        for one in a[:6]:
            one["category_id"] = 99
        a[7]["image_id"] = 50
        a[8].update(bbox=[900, 1, 3, 4], category_id=98)  # two mistakes of one entry
        a[9]["bbox"] = [1, 1, -3, 4]
        a[10]["bbox"] = [1, 1, 3]
        a[11]["bbox"] = [60, 30, 30, 8]  # reaches outside: a note
        a[6]["bbox"] = [5, 5, 0, 4]
        a[15].update(bbox=a[14]["bbox"], category_id=a[14]["category_id"], area=64)
        images[6]["id"] = 6
        images[4]["file_name"] = "../5.png"
        images[5]["file_name"] = "gone.png"
        images[0]["width"] = 99

    root = coco(tmp_path)
    edit_val(root, spoil)
    (root / "val" / "2.png").write_text("no picture")
    (root / "val" / "3.png").write_bytes(b"")
    found = audit(CocoFolder(root))
    assert counts(found) == {
        "unknown_category": 7,
        "unknown_image": 3,  # also the boxes of the image whose id is taken
        "outside": 1,
        "box_size": 1,
        "format": 1,
        "repeated_id": 1,
        "file_name": 1,
        "missing_image": 1,
        "unreadable_image": 2,
        "image_size": 1,
    }
    assert noted(found)["zero_size"] == 1
    assert noted(found)["reaching"] == 1
    assert noted(found)["twice"] == 1
    assert found.is_trainable
    assert not found.is_evaluable
    assert counts(found, "train") == {}
    [unknown] = [f for f in found.splits[1].faults if f.kind == "unknown_category"]
    assert len(unknown.examples) == 5
    assert (
        unknown.examples[0] == "annotations[0] (id 3): category_id 99 is unknown (there is: 1, 2)"
    )
    assert found.verdict().startswith("trainable, but not evaluable. To do: ")
    assert REMEDIES["unknown_category"].what_to_do in found.verdict()


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda a: a.update(bbox=[a["bbox"][0], a["bbox"][1], 50, 35]), "corners"),
        (lambda a: a.update(bbox=[0.1, 0.2, 0.3, 0.4]), "fractions"),
        (lambda a: a.update(area=1), "placeholder_area"),
        (lambda a: a.update(area=5000 + a["id"]), "large_area"),
    ],
)
def test_what_a_valid_file_probably_means_is_a_note(
    change: Callable[[Any], None], kind: str, tmp_path: Path
) -> None:
    edit_val(coco(tmp_path), lambda document: [change(a) for a in document["annotations"]])
    found = audit(CocoFolder(tmp_path))
    assert found.is_evaluable
    assert noted(found)[kind] >= IMAGES
    assert ("probably not as meant" in found.verdict()) is (kind in ("corners", "fractions"))


@pytest.mark.parametrize(("key", "kind"), [("images", "no_images"), ("annotations", "no_boxes")])
def test_empty_splits(key: str, kind: str, tmp_path: Path) -> None:
    edit_val(coco(tmp_path), lambda document: document[key].clear())
    found = audit(CocoFolder(tmp_path))
    assert counts(found) == {kind: 1}
    assert found.is_trainable
    assert not found.is_evaluable


def test_boxes_too_small_to_train_on(tmp_path: Path) -> None:
    path = coco(tmp_path) / "annotations" / "instances_train.json"
    document = json.loads(path.read_text())
    for annotation in document["annotations"]:
        annotation.update(bbox=[0.1, 0.2, 0.3, 0.4], area=0.12)
    path.write_text(json.dumps(document))
    found = audit(CocoFolder(tmp_path))
    assert counts(found, "train") == {"nothing_to_train_on": 1}
    assert found.verdict().startswith("not trainable, but evaluable. To do: label larger objects")


def test_a_file_that_is_not_json_leaves_the_other_split_judged(tmp_path: Path) -> None:
    write(coco(tmp_path) / "annotations" / "instances_val.json", "{")
    found = audit(CocoFolder(tmp_path))
    assert counts(found) == {"labels": 1}
    assert found.is_trainable
    assert not found.is_evaluable


def test_classes_that_differ_and_a_split_that_is_absent(tmp_path: Path) -> None:
    edit_val(coco(tmp_path), lambda document: document["categories"][0].update(name="uno"))
    found = audit(CocoFolder(tmp_path))
    assert [fault.kind for fault in found.faults] == ["classes"]
    assert found.verdict().startswith("not trainable and not evaluable. To do: give both splits")
    (tmp_path / "annotations" / "instances_train.json").unlink()
    found = audit(CocoFolder(tmp_path))
    assert [fault.kind for fault in found.faults] == ["absent_split"]
    assert found.verdict().startswith("not trainable, but evaluable.")


def test_images_in_both_splits_are_found_by_their_contents(tmp_path: Path) -> None:
    root = coco(tmp_path)
    for n in (2, 3):
        (root / "val" / f"{n}.png").write_bytes((root / "train" / f"{n + 1}.png").read_bytes())
    found = audit(CocoFolder(root))
    [fault] = found.faults
    assert (fault.kind, fault.count, fault.stops) == ("both_splits", 2, False)
    assert fault.examples[0] == "val/2.png is train/3.png"
    assert "2 validation images are also trained on" in found.verdict()
    assert found.is_evaluable


def test_images_whose_size_and_file_are_absent(tmp_path: Path) -> None:
    edit_val(coco(tmp_path), lambda d: [image.pop("width") for image in d["images"]])
    (tmp_path / "val" / "2.png").unlink()
    found = audit(CocoFolder(tmp_path))
    assert counts(found)["missing_image"] == 1
    assert found.splits[1].annotations is not None
    assert len(found.splits[1].annotations.images) == IMAGES - 1


def test_only_decoding_finds_a_truncated_image(tmp_path: Path) -> None:
    path = coco(tmp_path) / "val" / "1.png"
    path.write_bytes(path.read_bytes()[:-30])
    assert counts(audit(CocoFolder(tmp_path))) == {}
    assert counts(audit(CocoFolder(tmp_path), thorough=True)) == {"unreadable_image": 1}


def test_every_line_of_yolo_labels(tmp_path: Path) -> None:
    labels = yolo(tmp_path) / "labels" / "val"
    good = "0 0.5 0.5 0.1 0.1"
    write(labels / "1.txt", f"7 0.5 0.5 0.1 0.1\n{good}\n9 0.5 0.5 0.1 0.1\n0 1 2\n")
    write(labels / "2.txt", f"0 32 20 8 8\n0 x\n{good}\n{good}\n0 0.5 0.5 0 0.1\n")
    (tmp_path / "images" / "val" / "3.png").write_text("no picture")
    found = audit(CocoFolder(tmp_path))
    assert counts(found) == {
        "unknown_category": 2, "format": 2, "outside": 1, "unreadable_image": 1,
    }  # fmt: skip
    assert noted(found)["twice"] == 1
    assert noted(found)["zero_size"] == 1
    [unknown] = [f for f in found.splits[1].faults if f.kind == "unknown_category"]
    assert unknown.examples[1].startswith("labels/val/1.txt:3: class 9 is not in 'names'")
    assert found.is_trainable


def test_every_object_of_voc_files(tmp_path: Path) -> None:
    notes = voc(tmp_path) / "Annotations"
    for name, old, new in [
        ("val1", "<xmin>5</xmin>", "<xmin>500</xmin>"),
        ("val2", "<ymax>18</ymax>", "<ymax></ymax>"),
        ("val3", "<name>one</name>", "<name></name>"),
        ("val4", "<width>64", "<width>640"),
        ("val6", "<xmin>5</xmin><ymin>7</ymin><xmax>20", "<xmin>95</xmin><ymin>7</ymin><xmax>99"),
    ]:
        text = (notes / f"{name}.xml").read_text()
        assert old in text
        write(notes / f"{name}.xml", text.replace(old, new, 1))
    write(notes / "val5.xml", "<a>")
    (tmp_path / "JPEGImages" / "val7.png").unlink()
    found = audit(CocoFolder(tmp_path))
    assert counts(found) == {
        "box_size": 1, "format": 2, "image_size": 1, "labels": 1, "missing_image": 1, "outside": 1,
    }  # fmt: skip
    # the classes of both splits are those of all files, so a broken one spoils both
    assert not found.is_trainable


@pytest.mark.parametrize("make", [coco, yolo, voc])
def test_what_the_audit_finds_usable_a_run_can_use(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder = CocoFolder(make(tmp_path))
    for place in (None, *sorted(p for p in tmp_path.rglob("*") if p.is_file())[::7]):
        kept = place.read_bytes() if place else b""
        if place:
            place.write_bytes(b"")
        for name in ("train", "val"):
            try:
                read = [read_annotations(split.annotations) for split in folder.splits()]
                check_same_classes(read[0], read[-1])
                check_split(folder.split(name), thorough=True)  # type: ignore[arg-type]
                usable = True
            except UserError:
                usable = False
            try:
                found = audit(folder, thorough=True)
                said = found.is_trainable if name == "train" else found.is_evaluable
            except UserError:
                said = False
            # a run that needs one split alone may be stopped by the labels of the other
            assert said or not usable, (place, name)
            assert usable or not (said and found.is_trainable and found.is_evaluable)
        if place:
            place.write_bytes(kept)
