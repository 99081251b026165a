"""The data set `synthetic`: deterministic, spread like COCO, safe against other processes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.data.annotations import read_annotations
from harness.data.folder import check_split
from harness.data.images import read_image
from harness_plugins import synthetic
from harness_plugins.synthetic.scenes import draw_scene
from harness_plugins.synthetic.source import SyntheticSource, is_complete

SMALL = {"train_images": 6, "val_images": 3, "side": 256, "seed": 0}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*.*") if p.is_file()}


def test_declaration_and_fingerprint_need_no_files(tmp_path: Path) -> None:
    (declaration,) = synthetic.harness_datasets()
    source = declaration.load()(**declaration.params().model_dump())
    assert source.classes() == ("disc", "square", "triangle", "ring", "cross")
    other = declaration.load()(**declaration.params(seed=1).model_dump())
    again = declaration.load()(**declaration.params().model_dump())
    assert source.fingerprint() == again.fingerprint() != other.fingerprint()
    assert not (tmp_path / "cache").exists()


def test_files_pass_the_checks_of_a_real_data_set() -> None:
    source = SyntheticSource(**SMALL)
    source.prepare()
    for name, images in (("train", 6), ("val", 3)):
        check_split(source.split(name), thorough=True)
        annotations = read_annotations(source.split(name).annotations)
        assert len(annotations.images) == images
        assert annotations.classes == source.classes()


def test_same_parameters_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = SyntheticSource(**SMALL)
    first.prepare()
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "other"))
    second = SyntheticSource(**SMALL)
    second.prepare()
    assert second.root != first.root
    assert contents(first.root) == contents(second.root)
    third = SyntheticSource(**{**SMALL, "seed": 1})
    third.prepare()
    assert contents(third.root)["train/000001.jpg"] != contents(first.root)["train/000001.jpg"]


def test_splits_share_no_image() -> None:
    source = SyntheticSource(**SMALL)
    source.prepare()
    pictures = [data for name, data in contents(source.root).items() if name.endswith(".jpg")]
    assert len(set(pictures)) == 9


def test_incomplete_sets_are_made_anew() -> None:
    source = SyntheticSource(**SMALL)
    source.prepare()
    expected = contents(source.root)
    (source.root / "train" / "000002.jpg").write_bytes(b"")
    (source.root / "val" / "000001.jpg").unlink()
    assert not is_complete(source.root)
    source.prepare()
    assert contents(source.root) == expected


@pytest.mark.slow
def test_two_processes_at_once_leave_one_whole_set(tmp_path: Path) -> None:
    code = (
        "from harness.data.folder import check_split; "
        "from harness_plugins.synthetic.source import SyntheticSource as S; "
        f"s = S(**{SMALL!r}); s.prepare(); check_split(s.split('train'))"
    )
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert is_complete(SyntheticSource(**SMALL).root)


@pytest.mark.slow
def test_sizes_follow_cocos_spread() -> None:
    rng = np.random.Generator(np.random.PCG64(7))
    objects = [placed for _ in range(60) for placed in draw_scene(384, rng).objects]
    roots = np.sqrt([placed.area for placed in objects])
    assert 0.40 < (roots < 32).mean() < 0.52
    assert 0.26 < ((roots >= 32) & (roots < 96)).mean() < 0.40
    assert 0.16 < (roots >= 96).mean() < 0.32
    assert np.bincount([placed.label for placed in objects], minlength=5).min() > 30


def test_boxes_are_tight_and_hardly_overlap() -> None:
    scene = draw_scene(384, np.random.Generator(np.random.PCG64(3)))
    height, width = scene.pixels.shape[:2]
    for placed in scene.objects:
        x, y, w, h = placed.box
        assert 0 <= x < x + w <= width
        assert 0 <= y < y + h <= height
        assert min(w, h) >= 10
        assert 0.2 * w * h < placed.area <= w * h


def test_objects_are_where_the_boxes_say() -> None:
    """Colours inside the boxes are far more saturated than those of the scene around."""
    source = SyntheticSource(**SMALL)
    source.prepare()
    split = source.split("train")
    annotations = read_annotations(split.annotations)
    inside, outside = [], []
    for i, image in enumerate(annotations.images):
        pixels = read_image(split.images / image.file_name).float()
        chroma = pixels.amax(0) - pixels.amin(0)
        mask = np.zeros(chroma.shape, bool)
        for x1, y1, x2, y2 in annotations.of_image(i).boxes.astype(int):
            mask[y1:y2, x1:x2] = True
        inside.append(float(chroma[mask].mean()))
        outside.append(float(chroma[~mask].mean()))
    assert np.mean(inside) > 2 * np.mean(outside)
