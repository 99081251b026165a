"""COCO folders: layouts, fingerprints, and image files that cannot be used."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from photo_sets import make_folder
from PIL import Image
from tiny_suite import make_coco

from harness.data.annotations import read_annotations
from harness.data.folder import CocoFolder, check_same_classes, check_split
from harness.errors import UserError


def test_official_names_serve_as_well(tmp_path: Path) -> None:
    make_folder(tmp_path, split="val2017")
    folder = CocoFolder(tmp_path)
    assert folder.split("val").images == tmp_path / "val2017"
    assert folder.split("val").annotations.name == "instances_val2017.json"
    assert folder.classes() == ("one", "two")
    assert [split.name for split in folder.splits()] == ["val"]


def test_absent_folder_and_split_say_what_was_looked_for(folder: CocoFolder) -> None:
    with pytest.raises(
        UserError, match=r"no split 'val', only train \(annotations/instances_train.json\)"
    ):
        folder.split("val")
    with pytest.raises(UserError, match="does not exist"):
        CocoFolder(folder.root / "nowhere").prepare()
    (folder.root / "empty").mkdir()
    with pytest.raises(
        UserError, match=r"known layout .*_annotations.coco.json; .*data.yaml.*Annotations"
    ):
        CocoFolder(folder.root / "empty").fingerprint()


def test_fingerprint_follows_the_annotation_files(folder: CocoFolder) -> None:
    before = folder.fingerprint()
    assert CocoFolder(folder.root).fingerprint() == before
    make_folder(folder.root, split="val")
    both = folder.fingerprint()
    assert both != before
    path = folder.split("val").annotations
    path.write_text(path.read_text() + " ")
    assert folder.fingerprint() != both


def test_splits_with_other_categories_are_an_error(folder: CocoFolder) -> None:
    make_folder(folder.root, split="val")
    path = folder.split("val").annotations
    path.write_text(path.read_text().replace('"two"', '"zwei"'))
    one, other = (read_annotations(split.annotations) for split in folder.splits())
    with pytest.raises(UserError, match="other categories"):
        check_same_classes(one, other)


def test_a_good_split_passes_and_gives_its_warnings(folder: CocoFolder) -> None:
    assert check_split(folder.split("train"), thorough=True) == (
        "no medium objects (area 1024 to 9216): their AP is NaN",
        "no large objects (area 9216 or more): their AP is NaN",
    )


def test_unusable_files_are_listed_at_once_and_counted(tmp_path: Path) -> None:
    split = make_folder(tmp_path, images=12).split("train")
    for i in range(1, 8):
        (split.images / f"{i}.jpg").unlink()
    (split.images / "3.jpg").write_bytes(b"")
    (split.images / "4.jpg").mkdir()
    with pytest.raises(UserError) as caught:
        check_split(split)
    line = str(caught.value)
    assert "7 of 12 images cannot be used: 1.jpg is missing; 2.jpg is missing" in line
    assert "3.jpg is empty; 4.jpg is not a file; 5.jpg is missing and 2 more" in line
    assert line.startswith(str(split.images))


def test_thorough_check_decodes(folder: CocoFolder) -> None:
    split = folder.split("train")
    data = (split.images / "2.jpg").read_bytes()
    (split.images / "2.jpg").write_bytes(data[: len(data) // 2])
    (split.images / "5.jpg").write_text("no picture")
    assert check_split(folder.split("train"))
    with pytest.raises(UserError, match=r"2 of 6 .* 2.jpg is broken.*; 5.jpg is not an image"):
        check_split(folder.split("train"), thorough=True)


def test_no_boxes_at_all_is_an_error_before_a_run(folder: CocoFolder) -> None:
    path = folder.split("train").annotations
    path.write_text(json.dumps({**json.loads(path.read_text()), "annotations": []}))
    with pytest.raises(UserError, match="no boxes at all"):
        check_split(folder.split("train"))


def test_links_into_a_store_outside_are_followed(folder: CocoFolder, tmp_path: Path) -> None:
    split = folder.split("train")
    outside = tmp_path / "outside.jpg"
    outside.write_bytes((split.images / "1.jpg").read_bytes())
    (split.images / "1.jpg").unlink()
    (split.images / "1.jpg").symlink_to(outside)
    assert (split.images / "1.jpg").read_bytes() == outside.read_bytes()
    assert check_split(folder.split("train"), thorough=True)


def test_links_inside_the_data_and_a_linked_root_are_fine(
    folder: CocoFolder, tmp_path: Path
) -> None:
    split = folder.split("train")
    (folder.root / "store").mkdir()
    (split.images / "1.jpg").rename(folder.root / "store" / "x.jpg")
    (split.images / "1.jpg").symlink_to("../store/x.jpg")
    (tmp_path / "link").symlink_to(folder.root)
    assert check_split(CocoFolder(tmp_path / "link").split("train"), thorough=True)


def test_a_loop_of_links_is_a_bad_file(folder: CocoFolder) -> None:
    split = folder.split("train")
    (split.images / "1.jpg").unlink()
    (split.images / "1.jpg").symlink_to("1.jpg")
    with pytest.raises(UserError, match=r"1.jpg (cannot be read|is missing)"):
        check_split(folder.split("train"))


def test_reading_a_folder_does_not_import_torch(folder: CocoFolder) -> None:
    code = (
        "import sys; from harness.data.folder import CocoFolder, check_split; "
        f"f = CocoFolder({str(folder.root)!r}); f.fingerprint(); f.classes(); "
        "check_split(f.split('train')); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_classes_need_one_file_only(folder: CocoFolder) -> None:
    make_folder(folder.root, images=1, split="val")
    folder.split("train").annotations.write_text("broken" * 1000)
    assert folder.classes() == ("one", "two")
    with pytest.raises(UserError, match="not JSON"):
        read_annotations(folder.split("train").annotations)


@pytest.mark.parametrize("upright", [True, False])
def test_thorough_tells_which_way_an_image_on_its_side_is_read(
    folder: CocoFolder, upright: bool
) -> None:
    split = folder.split("train")
    first = read_annotations(split.annotations).images[0]
    exif = Image.Exif()
    exif[0x0112] = 6
    size = (first.height, first.width) if upright else (first.width, first.height)
    Image.new("RGB", size).save(split.images / first.file_name, exif=exif)
    [note] = [line for line in check_split(folder.split("train"), thorough=True) if "EXIF" in line]
    assert note.startswith("1 images are turned upright" if upright else "1 images have an EXIF")
    assert ("annotated as stored" in note) is not upright


def test_thorough_tells_of_orientations_and_of_12_bit_images(folder: CocoFolder) -> None:
    split = folder.split("train")
    first, second = read_annotations(split.annotations).images[:2]
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.new("RGB", (first.width, first.height)).save(split.images / first.file_name, exif=exif)
    dim = np.full((second.height, second.width), 4095, np.uint16)
    Image.fromarray(dim).save(split.images / second.file_name, "PNG")
    notes = "\n".join(check_split(folder.split("train"), thorough=True))
    assert "1 images are turned upright by their EXIF orientation" in notes
    assert "1 16-bit images hold no value of 4096" in notes
    assert first.file_name in notes
    assert second.file_name in notes


def test_the_folder_above_or_within_is_named_where_it_is_the_one_that_is_meant(tmp_path: Path):
    root = make_coco(tmp_path / "outer" / "set")
    hint = r"but .*outer/set is a data set of several splits: give that folder"
    for given in (tmp_path / "outer", root / "train"):
        with pytest.raises(UserError, match=f"is not the folder of a data set .*{hint}"):
            CocoFolder(given).prepare()


def test_the_folder_above_is_found_from_within_and_goes_before_those_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    above = make_coco(tmp_path / "set")
    make_coco(above / "more" / "old")
    monkeypatch.chdir(above / "more")
    with pytest.raises(UserError, match=f"but {above} is a data set of several splits"):
        CocoFolder(".").prepare()


def test_folders_that_may_not_be_looked_into_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As of other users in /tmp."""
    (tmp_path / "another").mkdir()
    make_coco(tmp_path / "set")
    stat = Path.stat

    def refuse(path: Path, **options: bool) -> os.stat_result:
        if tmp_path / "another" in path.parents:
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(UserError, match="set is a data set of several splits"):
        CocoFolder(tmp_path).prepare()


def test_a_file_in_place_of_the_folder_is_an_error_unless_it_is_its_data_yaml(tmp_path: Path):
    (tmp_path / "data.yaml").write_text("names: [a]\n")
    assert CocoFolder(tmp_path / "data.yaml").root == tmp_path
    (tmp_path / "set.yml").write_text("names: [a]\n")
    assert CocoFolder(tmp_path / "set.yml").root == tmp_path
    (tmp_path / "folder.yaml").mkdir()
    assert CocoFolder(tmp_path / "folder.yaml").root == tmp_path / "folder.yaml"
    (tmp_path / "labels.json").write_text("{}")
    with pytest.raises(UserError, match="is not a folder"):
        CocoFolder(tmp_path / "labels.json").prepare()
