"""The reader of docs/writing-a-plugin.md: CSV files of boxes, read from outside the tree."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_suite import tiny, write_manifest

from harness import load_results
from harness.data.annotations import read_annotations
from harness.data.audit import audit
from harness.data.folder import CocoFolder, check_split
from harness.errors import UserError
from harness.plugin.manager import load_plugins

PAGE = Path(__file__).parents[2] / "docs" / "writing-a-plugin.md"
COLUMNS = ["image", "class", "x1", "y1", "x2", "y2"]


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))


def example(folder: Path, name: str = "boxes_csv") -> Path:
    """The file, under a name of its own where it was loaded before."""
    [text] = re.findall(r'```\n("""boxes_csv.py.*?)```', PAGE.read_text(), flags=re.DOTALL)
    (folder / f"{name}.py").write_text(text.replace("boxes_csv", name))
    return folder / f"{name}.py"


def make_set(root: Path) -> Path:
    (root / "images").mkdir(parents=True)
    for place, split in enumerate(("train", "val")):
        rows = []
        for n in range(4):
            name = f"{split}{n}.png"
            pixels = np.full((48, 64, 3), 100 * place + 10 * n, np.uint8)
            Image.fromarray(pixels).save(root / "images" / name)
            rows.append([name, "cell", 4, 5 + n, 24, 30])
            rows.append([name, "ring", 30, 10, 50, 40])
        write_rows(root / f"{split}.csv", [*rows, ["train0.png", "", "", "", "", ""]])
    return root


def write_rows(path: Path, rows: list[list[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])


def test_the_example_reads_boxes(tmp_path: Path):
    load_plugins([str(example(tmp_path, "csv_reads"))])
    folder = CocoFolder(make_set(tmp_path / "set"))
    assert folder.layout == "CSV"
    assert folder.classes() == ("cell", "ring")
    read = read_annotations(folder.split("val").annotations)
    assert [image.file_name for image in read.images][:2] == ["val0.png", "val1.png"]
    assert read.of_image(1).boxes.tolist() == [[4, 6, 24, 30], [30, 10, 50, 40]]
    assert read.of_image(1).labels.tolist() == [0, 1]
    check_split(folder.split("train"), thorough=True)


@pytest.mark.slow
def test_it_is_listed_and_trains_a_detector(cli, tmp_path: Path):
    example(tmp_path)
    root = make_set(tmp_path / "set")
    listed = cli("list", "reader", "-p", "boxes_csv.py").out
    assert re.search(r"boxes_csv +CSV files of boxes · boxes_csv", listed)
    assert all(name in listed for name in ("coco", "yolo", "voc"))
    assert (
        "looks for {split}.csv with images/"
        in cli("describe", "boxes_csv", "-p", "boxes_csv.py").out
    )
    write_manifest(tmp_path / "m.yaml", root, [tiny()])
    done = cli("run", "m.yaml", "--run-id", "r", "-p", "boxes_csv.py")
    assert done.code == 0, done.err
    assert set(load_results(tmp_path / "results" / "tiny" / "r")["status"]) == {"ok"}


def test_the_doctor_finds_its_mistakes(cli, tmp_path: Path):
    example(tmp_path)
    root = make_set(tmp_path / "set")
    assert (
        "verdict trainable and evaluable" in cli("doctor", "-p", "boxes_csv.py", "--data", root).out
    )
    write_rows(
        root / "val.csv",
        [["val0.png", "cell", 4, 5, 24, "x"], ["gone.png", "cell", 4, 5, 24, 9],
         ["val1.png", "cell", 4, 5, 24, 3], ["val2.png", "cell", 4, 5, 24, 9],
         ["val2.png", "ring", "", 5, 24, 9]],
    )  # fmt: skip
    done = cli("doctor", "-p", "boxes_csv.py", "--data", root)
    assert done.code == 2
    assert "entries that are not as their format needs: 2" in done.out
    assert "val.csv:2: has no four numbers" in done.out
    assert "images/gone.png" in done.out or "gone.png: is missing" in done.out
    assert "boxes of negative size: 1" in done.out
    assert "verdict trainable, but not evaluable" in done.out


def test_without_the_plugin_the_folder_is_not_known(tmp_path: Path):
    load_plugins()
    with pytest.raises(UserError, match="no data set in a known layout"):
        CocoFolder(make_set(tmp_path / "set")).splits()


def test_labels_are_read_again_when_the_plugin_changes(tmp_path: Path):
    root, places = make_set(tmp_path / "set"), []
    for name in ("csv_before", "csv_after"):
        load_plugins([str(example(tmp_path, name))])
        places.append(CocoFolder(root).split("val").annotations)
    assert places[0] != places[1]


def test_a_layout_that_is_broken_is_told_of_beside_one_that_fits(tmp_path: Path):
    load_plugins([str(example(tmp_path, "csv_beside"))])
    root = make_set(tmp_path / "set")
    (root / "data.yaml").write_text("train: [\n")
    folder = CocoFolder(root)
    assert folder.layout == "CSV"
    [note] = folder.split("val").notes
    assert note.startswith("not read as YOLO: ")
    assert "is not YAML" in note
    assert any(fault.line == note for fault in audit(folder).splits[0].faults)
