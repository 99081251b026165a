"""Data sets as exporters lay them out: one set, written in each layout, is read the same."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.data.annotations import read_annotations
from harness.data.folder import CocoFolder, check_same_classes, check_split
from harness.errors import UserError

WIDTH, HEIGHT = 64, 40
CLASSES = ["bar", "square"]
# images of each split: name -> (class, x, y, width, height)
SET: dict[str, dict[str, list[tuple[int, int, int, int, int]]]] = {
    "train": {"a": [(0, 4, 6, 16, 12), (1, 30, 10, 8, 8)], "b": [(1, 10, 20, 20, 14)]},
    "val": {"c": [(0, 2, 2, 30, 30)], "d": [(1, 40, 8, 12, 24), (0, 0, 0, 16, 16)]},
}


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))


def photo(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)).save(path)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def coco(split: str, name: str = "{}.jpg") -> dict[str, Any]:
    images = [
        {"id": n, "file_name": name.format(stem), "width": WIDTH, "height": HEIGHT}
        for n, stem in enumerate(SET[split], 1)
    ]
    rows = [(n, row) for n, rows in enumerate(SET[split].values(), 1) for row in rows]
    annotations = [
        {"id": k, "image_id": n, "category_id": row[0] + 1, "bbox": list(row[1:]),
         "area": row[3] * row[4], "iscrowd": 0}
        for k, (n, row) in enumerate(rows, 1)
    ]  # fmt: skip
    categories = [{"id": i, "name": each} for i, each in enumerate(CLASSES, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def coco_layout(annotations: str, images: str, name: str = "{}.jpg") -> Callable[[Path], None]:
    """Args: annotations, images: with {} for the split; name: as the file has it, {} the stem."""

    def make(root: Path) -> None:
        for split, of in (
            ("train", "train"),
            ("val", "valid" if "_annotations" in annotations else "val"),
        ):
            write(root / annotations.format(of), json.dumps(coco(split, name.replace("SPLIT", of))))
            for stem in SET[split]:
                photo(root / images.format(of) / f"{stem}.jpg")

    return make


def yolo(root: Path) -> None:
    write(
        root / "data.yaml",
        "path: .\ntrain: images/train\nval: [images/val]\nnames: [bar, square]\n",
    )
    for split, rows in SET.items():
        for stem, boxes in rows.items():
            photo(root / "images" / split / f"{stem}.jpg")
            lines = [
                f"{c} {(x + w / 2) / WIDTH} {(y + h / 2) / HEIGHT} {w / WIDTH} {h / HEIGHT}"
                for c, x, y, w, h in boxes
            ]
            write(root / "labels" / split / f"{stem}.txt", "\n".join(lines) + "\n")


def yolo_lists(root: Path) -> None:
    """As Roboflow and older sets have it: lists of images, names as a dict, a foreign path."""
    yolo(root)
    for split, rows in SET.items():
        write(root / f"{split}.txt", "".join(f"./images/{split}/{stem}.jpg\n" for stem in rows))
    names = "names: {0: bar, 1: square}\n"
    write(root / "data.yaml", f"path: ../elsewhere/set\ntrain: ../train.txt\nval: val.txt\n{names}")


def voc(root: Path) -> None:
    for split, rows in SET.items():
        write(root / "ImageSets" / "Main" / f"{split}.txt", "".join(f"{stem}\n" for stem in rows))
        for stem, boxes in rows.items():
            photo(root / "JPEGImages" / f"{stem}.jpg")
            objects = "".join(
                f"<object><name>{CLASSES[c]}</name>"
                f"<difficult>{int(stem == 'd')}</difficult><bndbox>"
                f"<xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax>"
                "</bndbox></object>"
                for c, x, y, w, h in boxes
            )
            write(root / "Annotations" / f"{stem}.xml", f"<annotation>{objects}</annotation>")


def within(place: str, make: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda root: make(root / place)


def with_test_split(
    make: Callable[[Path], None], *renamed: tuple[str, str]
) -> Callable[[Path], None]:
    """The set with its validation split as a test split; files or folders that are renamed."""

    def change(root: Path) -> None:
        make(root)
        for old, new in renamed:
            (root / old).rename(root / new)

    return change


def yolo_tested(root: Path) -> None:
    yolo(root)
    path = root / "data.yaml"
    path.write_text(path.read_text().replace("val:", "val:\ntest:"))


# as exported with train and test alone
TESTED_SETS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "roboflow, tested": (
        "Roboflow",
        with_test_split(coco_layout("{}/_annotations.coco.json", "{}"), ("valid", "test")),
    ),
    "coco, tested": (
        "COCO",
        with_test_split(
            coco_layout("annotations/instances_{}.json", "{}"),
            ("val", "test"),
            ("annotations/instances_val.json", "annotations/instances_test.json"),
        ),
    ),
    "yolo, tested": ("YOLO", yolo_tested),
    "voc, tested": (
        "Pascal VOC",
        with_test_split(
            within("VOCdevkit/VOC2007", voc),
            *(
                (f"VOCdevkit/VOC2007/ImageSets/Main/{old}.txt",
                 f"VOCdevkit/VOC2007/ImageSets/Main/{new}.txt")
                for old, new in (("val", "test"), ("train", "trainval"))
            ),
        ),
    ),
}  # fmt: skip
LAYOUTS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "coco": ("COCO", coco_layout("annotations/instances_{}.json", "{}")),
    "coco 2017": ("COCO", coco_layout("annotations/instances_{}2017.json", "{}2017")),
    "coco 2014": ("COCO", coco_layout("annotations/instances_{}2014.json", "{}2014")),
    "roboflow": ("Roboflow", coco_layout("{}/_annotations.coco.json", "{}")),
    "cvat": ("COCO", coco_layout("annotations/instances_{}.json", "images/{}")),
    "cvat, one folder": ("COCO", coco_layout("annotations/instances_{}.json", "images")),
    "cvat, apart": (
        "CVAT",
        coco_layout("{}/annotations/instances_default.json", "{}/images/default"),
    ),
    "label studio": ("Label Studio", coco_layout("{}/result.json", "{}/images", "images\\{}.jpg")),
    "split in names": ("COCO", coco_layout("annotations/instances_{}.json", "{}", "SPLIT/{}.jpg")),
    "dot in names": ("COCO", coco_layout("annotations/instances_{}.json", "{}", "./{}.jpg")),
    "file per split": ("COCO", coco_layout("{}.json", "images")),
    "yolo": ("YOLO", yolo),
    "yolo, lists": ("YOLO", yolo_lists),
    "voc": ("Pascal VOC", voc),
    "voc, devkit": ("Pascal VOC", within("VOCdevkit/VOC2007", voc)),
    "voc, in the devkit": ("Pascal VOC", within("VOC2012", voc)),
    **TESTED_SETS,
}  # fmt: skip


@pytest.mark.parametrize("case", LAYOUTS)
def test_every_layout_gives_the_same_objects(case: str, tmp_path: Path) -> None:
    layout, make = LAYOUTS[case]
    make(tmp_path)
    folder = CocoFolder(tmp_path)
    assert layout in folder.layout
    assert folder.classes() == tuple(CLASSES)
    for split in folder.splits():
        notes = check_split(folder.split(split.name), thorough=True)
        from_test = split.name == "val" and case in TESTED_SETS
        assert any("the test split is evaluated on" in note for note in notes) is from_test
        read = read_annotations(split.annotations)
        assert len(read.images) == len(SET[split.name])
        for n, image in enumerate(read.images):
            assert (split.images / image.file_name).is_file()
            assert (image.width, image.height) == (WIDTH, HEIGHT)
            objects = read.of_image(n)
            sides = objects.boxes[:, 2:] - objects.boxes[:, :2]
            rows = np.column_stack([objects.labels, objects.boxes[:, :2], sides])
            expected = SET[split.name][Path(image.file_name).stem]
            np.testing.assert_allclose(rows, expected, atol=1e-3)
    assert [split.name for split in folder.splits()] == ["train", "val"]


@pytest.mark.parametrize(
    ("make", "labels", "old", "new"),
    [
        (yolo, "labels/val/c.txt", "0 ", "1 "),
        (voc, "Annotations/c.xml", "<xmax>32", "<xmax>31"),
    ],
)
def test_fingerprints_cover_every_label_file(
    make: Callable[[Path], None], labels: str, old: str, new: str, tmp_path: Path
) -> None:
    make(tmp_path)
    before = CocoFolder(tmp_path).fingerprint()
    assert CocoFolder(tmp_path).fingerprint() == before
    text = (tmp_path / labels).read_text()
    (tmp_path / labels).write_text(text.replace(old, new, 1))
    assert CocoFolder(tmp_path).fingerprint() != before


def test_years_of_voc_are_taken_together(tmp_path: Path) -> None:
    voc(tmp_path / "VOCdevkit" / "VOC2007")
    voc(tmp_path / "VOCdevkit" / "VOC2012")
    (tmp_path / "VOCdevkit" / "VOC2012" / "ImageSets" / "Main" / "val.txt").unlink()
    train, val = CocoFolder(tmp_path).splits()
    read = read_annotations(train.annotations)
    assert [image.file_name for image in read.images] == [
        f"VOC{year}/JPEGImages/{stem}.jpg" for year in (2007, 2012) for stem in SET["train"]
    ]
    assert len(read_annotations(val.annotations).images) == len(SET["val"])
    assert val.notes == ("VOC2012 has no list 'val' and gives no image to this split",)
    check_split(CocoFolder(tmp_path).split("train"), thorough=True)


def test_a_test_split_stands_for_no_validation_split_that_is_there(tmp_path: Path) -> None:
    coco_layout("annotations/instances_{}.json", "{}")(tmp_path)
    write(tmp_path / "annotations" / "instances_test.json", json.dumps(coco("train")))
    assert CocoFolder(tmp_path).split("val").annotations.name == "instances_val.json"
    (tmp_path / "annotations" / "instances_train.json").unlink()
    (tmp_path / "annotations" / "instances_val.json").unlink()
    with pytest.raises(UserError, match="only one split"):
        CocoFolder(tmp_path).splits()


def test_a_layout_with_a_validation_split_goes_before_one_with_a_test_split(tmp_path: Path) -> None:
    coco_layout("annotations/instances_{}.json", "{}")(tmp_path)
    (tmp_path / "annotations/instances_val.json").rename(
        tmp_path / "annotations/instances_test.json"
    )
    (tmp_path / "val").rename(tmp_path / "test")
    assert CocoFolder(tmp_path).split("val").notes
    yolo(tmp_path)
    assert CocoFolder(tmp_path).layout == "YOLO"
    assert not CocoFolder(tmp_path).split("val").notes


def test_params_name_images_and_annotations(tmp_path: Path) -> None:
    coco_layout("notes/{}-boxes.json", "{}/raw")(tmp_path)
    named = {s: {"images": f"{s}/raw", "annotations": f"notes/{s}-boxes.json"} for s in SET}
    folder = CocoFolder(tmp_path, train=named["train"], val=named["val"])
    check_split(folder.split("val"), thorough=True)
    assert folder.split("train").images == tmp_path / "train" / "raw"


@pytest.mark.parametrize("name", ["annotations/instances_default.json", "result.json", "all.json"])
def test_one_file_is_one_split(name: str, tmp_path: Path) -> None:
    write(tmp_path / name, json.dumps(coco("train")))
    with pytest.raises(UserError, match=f"only one split: {name}"):
        CocoFolder(tmp_path).splits()


def test_polygons_and_images_without_labels_of_yolo(tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "labels/val/c.txt").unlink()
    write(tmp_path / "labels/val/d.txt", "1 0.25 0.5 0.5 0.25 0.5 0.75\n")
    folder = CocoFolder(tmp_path)
    notes = check_split(folder.split("val"))
    assert any("1 polygons, replaced by their bounding boxes" in note for note in notes)
    read = read_annotations(folder.split("val").annotations)
    assert len(read.of_image(0)) == 0
    assert read.of_image(1).boxes.tolist() == [[16, 10, 32, 30]]


@pytest.mark.parametrize(
    ("base", "places"), [("", "{root}"), ("path: other\n", "{root}/other and {root}")]
)
def test_images_that_are_not_there_are_told_with_where_they_were_looked_for(
    base: str, places: str, tmp_path: Path
) -> None:
    write(tmp_path / "data.yaml", f"{base}train: gone\nval: gone\nnames: [a]\n")
    with pytest.raises(UserError, match="'gone' is not there") as caught:
        CocoFolder(tmp_path).splits()
    assert str(caught.value).endswith(f"; looked in {places.format(root=tmp_path)})")


def test_difficult_objects_of_voc_are_kept_and_counted(tmp_path: Path) -> None:
    voc(tmp_path)
    notes = check_split(CocoFolder(tmp_path).split("val"))
    assert any("2 objects are marked difficult" in note for note in notes)


@pytest.mark.parametrize(
    ("make", "labels", "text", "found"),
    [
        (yolo, "labels/val/c.txt", "0 0.5 0.5 0.1 0.1\n0 x\n", r"c.txt:2: is '0 x'"),
        (yolo, "labels/val/c.txt", "0 0.5 0.5 0.1\n", r"c.txt:1: has 4 numbers"),
        (yolo, "labels/val/c.txt", "7 0.5 0.5 0.1 0.1\n", r"c.txt:1: class 7 is not in 'names'"),
        (yolo, "labels/val/c.txt", "0 32 20 8 8\n", r"c.txt:1: .* beyond 0 to 1"),
        (yolo, "labels/val/c.txt", "0 1.2 0.5 0.1 0.1\n", r"c.txt:1: .* beyond 0 to 1"),
        (yolo, "data.yaml", "train: [\n", r"data.yaml:\d: is not YAML"),
        (voc, "Annotations/c.xml", "<annotation>\n<obj", r"c.xml:2:\d: is not XML, or truncated"),
        (voc, "Annotations/c.xml", "<a><object><name>x</name></object></a>", "c.xml: .* bndbox"),
    ],
)
def test_broken_labels_name_file_and_line(
    make: Callable[[Path], None], labels: str, text: str, found: str, tmp_path: Path
) -> None:
    make(tmp_path)
    write(tmp_path / labels, text)
    with pytest.raises(UserError, match=found):
        CocoFolder(tmp_path).splits()


def _each(key: str, change: Callable[[dict[str, Any], int], object]) -> Callable[[Any], None]:
    def edit(document: Any) -> None:
        for n, entry in enumerate(document[key]):
            change(entry, n)

    return edit


def _text_ids(document: Any) -> None:
    for entry in document["images"]:
        entry["id"] = f"img{entry['id']}"
    for entry in document["annotations"]:
        entry["image_id"] = f"img{entry['image_id']}"


def _root(document: Any) -> None:
    for entry in document["categories"]:
        entry["supercategory"] = "things"
    document["categories"].insert(0, {"id": 0, "name": "things", "supercategory": "none"})


TOLERATED: dict[str, tuple[Callable[[Any], None], str]] = {
    "back-slashes": (
        _each("images", lambda e, n: e.update(file_name=".\\" + e["file_name"])),
        "2 file names with backslashes",
    ),
    "text ids": (_text_ids, "images with text as ids, numbered"),
    "no size": (_each("images", lambda e, n: e.pop("width")), "2 images without width and height"),
    "size -1": (_each("images", lambda e, n: e.update(height=-1)), "2 images without width"),
    "null": (_each("annotations", lambda e, n: e.update(area=None)), "3 entries with null"),
    "repeated ids": (_each("annotations", lambda e, n: e.update(id=5)), "2 annotation ids"),
    "absent ids": (_each("annotations", lambda e, n: e.pop("id")), "3 annotation ids"),
    "root category": (_root, "category 0 'things' is the supercategory"),
}


@pytest.mark.parametrize("case", TOLERATED)
def test_what_has_one_right_reading_is_read_with_a_note(case: str, tmp_path: Path) -> None:
    edit, said = TOLERATED[case]
    coco_layout("annotations/instances_{}.json", "{}")(tmp_path)
    plain = read_annotations(CocoFolder(tmp_path).split("val").annotations)
    for split in SET:
        document = coco(split)
        edit(document)
        write(tmp_path / "annotations" / f"instances_{split}.json", json.dumps(document))
    folder = CocoFolder(tmp_path)
    assert any(said in note for note in check_split(folder.split("val"), thorough=True))
    read = read_annotations(folder.split("val").annotations)
    assert read.classes == plain.classes == tuple(CLASSES)
    assert [image.width for image in read.images] == [WIDTH, WIDTH]
    np.testing.assert_array_equal(read.objects.boxes, plain.objects.boxes)
    np.testing.assert_array_equal(read.offsets, plain.offsets)
    np.testing.assert_array_equal(read.objects.areas, plain.objects.areas)
    assert len(set(read.objects.ids.tolist())) == len(read.objects)


def test_a_split_that_lists_some_classes_has_those_of_the_training_split(tmp_path: Path) -> None:
    coco_layout("annotations/instances_{}.json", "{}")(tmp_path)
    document = coco("val")
    document["categories"] = document["categories"][1:]
    document["annotations"] = [a for a in document["annotations"] if a["category_id"] == 2]
    write(tmp_path / "annotations" / "instances_val.json", json.dumps(document))
    folder = CocoFolder(tmp_path)
    notes = check_split(folder.split("val"), thorough=True)
    assert any("lists 1 of the 2 classes of the training split" in note for note in notes)
    read = read_annotations(folder.split("val").annotations)
    assert read.classes == tuple(CLASSES)
    assert read.objects.labels.tolist() == [1]


def test_classes_that_differ_between_the_splits_are_refused(tmp_path: Path) -> None:
    coco_layout("annotations/instances_{}.json", "{}")(tmp_path)
    document = coco("val")
    document["categories"] = [{"id": 2, "name": "something else"}]
    document["annotations"] = [a for a in document["annotations"] if a["category_id"] == 2]
    write(tmp_path / "annotations" / "instances_val.json", json.dumps(document))
    read = [read_annotations(split.annotations) for split in CocoFolder(tmp_path).splits()]
    with pytest.raises(UserError, match="categories"):
        check_same_classes(*read)


def test_a_root_category_that_has_a_box_is_a_class(tmp_path: Path) -> None:
    coco_layout("annotations/instances_{}.json", "{}")(tmp_path)
    for split in SET:
        document = coco(split)
        _root(document)
        document["annotations"][0]["category_id"] = 0
        write(tmp_path / "annotations" / f"instances_{split}.json", json.dumps(document))
    read = read_annotations(CocoFolder(tmp_path).split("val").annotations)
    assert read.classes == ("things", *CLASSES)


@pytest.mark.parametrize(("make", "layout"), [(yolo, "YOLO"), (voc, "Pascal VOC")])
def test_doctor_names_the_layout(make: Callable[[Path], None], layout: str, tmp_path: Path) -> None:
    from harness.run.diagnosis import diagnose

    make(tmp_path)
    found = [one for one in diagnose([], str(tmp_path), thorough=True) if "data" in one.what]
    assert not [one for one in found if one.level == "bad"]
    assert ("data layout", layout) in [(one.what, one.found) for one in found]


def test_detections_name_images_by_ids_that_are_text(tmp_path: Path) -> None:
    from harness.stages.detections_file import check_detections
    from harness.stages.scoring import read_ground_truth

    document = coco("val")
    _text_ids(document)
    write(tmp_path / "truth.json", json.dumps(document))
    truth = read_ground_truth(tmp_path / "truth.json")
    found = {"image_id": "img2", "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.5}
    assert [one["image_id"] for one in check_detections([found], truth, where="found")] == [2]
