"""A whole tiny run on folders in YOLO's and Pascal VOC's format."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_suite import make_coco, write_manifest

pytestmark = pytest.mark.slow


def as_yolo(coco: Path, root: Path) -> None:
    """The same set in YOLO's format."""
    root.mkdir()
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [square, bar]\n")
    for split, image, rows in images_of(coco, root / "images" / "{}"):
        width, height = image["width"], image["height"]
        path = root / "labels" / split / f"{Path(image['file_name']).stem}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = []
        for row in rows:
            x, y, w, h = row["bbox"]
            box = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
            lines.append(" ".join(map(str, ({3: 0, 7: 1}[row["category_id"]], *box))))
        path.write_text("\n".join(lines))


def as_voc(coco: Path, root: Path) -> None:
    """The same set in Pascal VOC's format; names of images begin with the split."""
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "Annotations").mkdir()
    for split, image, rows in images_of(coco, root / "JPEGImages", "{}-"):
        stem = f"{split}-{Path(image['file_name']).stem}"
        with (root / "ImageSets" / "Main" / f"{split}.txt").open("a") as file:
            file.write(f"{stem}\n")
        objects = ""
        for row in rows:
            x, y, w, h = row["bbox"]
            name = {3: "square", 7: "bar"}[row["category_id"]]
            corners = {"xmin": x + 1, "ymin": y + 1, "xmax": x + w, "ymax": y + h}
            box = "".join(f"<{key}>{value}</{key}>" for key, value in corners.items())
            objects += f"<object><name>{name}</name><bndbox>{box}</bndbox></object>"
        (root / "Annotations" / f"{stem}.xml").write_text(f"<annotation>{objects}</annotation>")


def images_of(coco: Path, folder: Path, prefix: str = "") -> list[tuple[str, Any, list[Any]]]:
    """Copies the images; returns (split, image, its annotations)."""
    found = []
    for split in ("train", "val"):
        document = json.loads((coco / "annotations" / f"instances_{split}.json").read_text())
        place = Path(str(folder).format(split))
        place.mkdir(parents=True, exist_ok=True)
        for image in document["images"]:
            name = prefix.format(split) + image["file_name"]
            shutil.copy(coco / split / image["file_name"], place / name)
            rows = [a for a in document["annotations"] if a["image_id"] == image["id"]]
            found.append((split, image, rows))
    return found


@pytest.mark.parametrize("convert", [as_yolo, as_voc])
def test_a_run_trains_and_evaluates(
    convert: Callable[[Path, Path], None], cli: Any, tmp_path: Path
) -> None:
    convert(make_coco(tmp_path / "coco"), tmp_path / "set")
    write_manifest(tmp_path / "m.yaml", tmp_path / "nowhere")
    done = cli("run", "m.yaml", "--data", str(tmp_path / "set"), "--run-id", "one")
    assert done.code == 0, done.err
    assert "evaluate: ok" in done.err
    [result] = (tmp_path / "results").glob("*/one/plan.json")
    plan = json.loads(result.read_text())
    truth = json.loads(Path(plan["splits"]["val"]["annotations"]).read_text())
    assert {each["name"] for each in truth["categories"]} == {"square", "bar"}
    assert len(truth["images"]) == 4
