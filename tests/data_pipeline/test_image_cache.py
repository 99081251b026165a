"""Decoded images on disk: the same pixels with and without, whoever else reads, writes or dies."""

import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from photo_sets import Batch, equal, loader, make_folder, photo
from PIL import Image
from warm_processes import Popen

from harness.data import image_cache, reading
from harness.data.annotations import read_annotations
from harness.data.folder import CocoFolder
from harness.data.image_cache import FILLED, RECORD, ImageStore, Stamp
from harness.data.loader import TrainLoader, eval_loader
from harness.data.reading import ImageReader
from harness.data.resize import Resize, ResizedImage, ShortestSideResize, SquashResize
from harness.manifest.schema import Evaluate

IMAGES = 8


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's images are kept."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


@pytest.fixture
def folder(tmp_path: Path) -> CocoFolder:
    return make_folder(tmp_path / "set", IMAGES)


def batches(loader: TrainLoader) -> list[Batch]:
    """Two epochs: the second finds what the first has kept."""
    return [batch for epoch in range(2) for batch in loader.batches(epoch)]


def reader(folder: CocoFolder, resize: Resize = SquashResize(64, 64), **how: Any) -> ImageReader:  # noqa: B008
    split = folder.split("train")
    options = {"whole": False, "cache_gib": 1.0, **how}
    return ImageReader(split, read_annotations(split.annotations).images, resize, **options)


@pytest.fixture
def decoding_forbidden(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def forbid() -> None:
        monkeypatch.setattr(reading, "read_entry", lambda *_: pytest.fail("decoded again"))

    return forbid


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("augment", ["none", "flip", "paper"])
def test_pixels_are_the_same_cold_warm_and_without(
    folder: CocoFolder, augment: str, workers: int, decoding_forbidden: Callable[[], None]
) -> None:
    expected = batches(loader(folder, augment=augment, cache_gib=0))
    assert equal(batches(loader(folder, augment=augment, workers=workers)), expected)
    decoding_forbidden()
    assert equal(batches(loader(folder, augment=augment, workers=workers)), expected)


def test_evaluation_keeps_images_at_network_size(
    folder: CocoFolder, cache: Path, decoding_forbidden: Callable[[], None]
) -> None:
    split, how = folder.split("train"), Evaluate(workers=0)
    without = eval_loader(split, SquashResize(64, 64), Evaluate(workers=0, cache_gib=0))
    expected = torch.cat([inputs.pixels for inputs, _ in without])
    list(eval_loader(split, SquashResize(64, 64), how))
    decoding_forbidden()
    warm = list(eval_loader(split, SquashResize(64, 64), how))
    assert torch.equal(torch.cat([inputs.pixels for inputs, _ in warm]), expected)
    assert [path.stat().st_size for path in cache.glob("*/pixels")] == [IMAGES * 64 * 64 * 3]


def test_aspect_ratios_may_be_kept(
    folder: CocoFolder, decoding_forbidden: Callable[[], None]
) -> None:
    resize = ShortestSideResize(40, 70)
    expected = [reader(folder, resize, cache_gib=0).resized(i) for i in range(IMAGES)]
    for i in range(IMAGES):
        reader(folder, resize).resized(i)
    decoding_forbidden()
    for i in range(IMAGES):
        found = reader(folder, resize).resized(i)
        assert torch.equal(found.pixels, expected[i].pixels)
        assert (found.scale, found.image_size) == (expected[i].scale, expected[i].image_size)


class Thumbnail(SquashResize):
    """A plugin's resize that says what another one does."""

    def __call__(self, image: torch.Tensor) -> ResizedImage:
        return ResizedImage(image[:, :4, :4], (1.0, 1.0), (4, 4))


def test_of_an_unknown_resize_only_photos_are_kept(folder: CocoFolder) -> None:
    reader(folder, SquashResize(64, 64)).resized(0)
    for _ in range(2):
        assert reader(folder, Thumbnail(64, 64)).resized(0).pixels.shape == (3, 4, 4)


def test_a_replaced_image_is_read_again(folder: CocoFolder) -> None:
    before = reader(folder).resized(2).pixels.clone()
    path = folder.split("train").images / "3.jpg"
    with Image.open(path) as image:
        size = image.size
    Image.fromarray(255 - photo(*size[::-1], 3)).save(path, quality=95)
    warm = reader(folder)
    expected = reader(folder, cache_gib=0).resized(2).pixels
    for _ in range(2):
        assert torch.equal(warm.resized(2).pixels, expected)
    assert not torch.equal(expected, before)


def slots(folder: CocoFolder) -> tuple[ImageStore, np.memmap]:
    """The store of a reader with every image in it, and its records to be spoilt."""
    full = reader(folder)
    for i in range(IMAGES):
        full.resized(i)
    assert full.store is not None
    return full.store, np.memmap(full.store.folder / "index", RECORD, "r+")


def test_half_written_slots_count_as_empty(folder: CocoFolder) -> None:
    store, index = slots(folder)
    expected = [reader(folder, cache_gib=0).resized(i).pixels for i in range(IMAGES)]
    pixels = np.memmap(store.folder / "pixels", np.uint8, "r+")
    index[0] = np.zeros((), RECORD)  # killed before the record
    pixels[store.offsets[1] + 7000 : store.offsets[2]] = 0  # power cut: pages that never came
    index[2]["checksum"] += 1
    index[3]["filled"] = FILLED + 1
    for _ in range(2):
        found = [reader(folder).resized(i).pixels for i in range(IMAGES)]
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert (index["filled"] == FILLED).all()


PROCESS = """
import sys
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[1])
from harness.data.folder import CocoFolder
from photo_sets import loader
from test_image_cache import batches

torch.set_num_threads(1)
print("ready", flush=True)
while True:
    found = batches(loader(CocoFolder(Path(sys.argv[2])), workers=2, augment=sys.argv[3]))
    if sys.argv[4] != "forever":
        torch.save(found, sys.argv[4])
        break
    for path in Path(sys.argv[5]).glob("*/index"):
        path.write_bytes(bytes(path.stat().st_size))  # all slots empty again
    print("again", flush=True)
"""


def start(
    folder: CocoFolder, augment: str, out: Path | str, cache: Path
) -> "subprocess.Popen[str]":
    given = [str(Path(__file__).parent), str(folder.root), augment, str(out), str(cache)]
    return Popen([sys.executable, "-c", PROCESS, *given], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_several_processes_with_workers_fill_one_cache(
    folder: CocoFolder, cache: Path, tmp_path: Path
) -> None:
    expected = batches(loader(folder, augment="paper", cache_gib=0))
    outs = [tmp_path / f"{i}.pt" for i in range(2)]
    processes = [start(folder, "paper", out, cache) for out in outs]
    assert [process.wait(200) for process in processes] == [0, 0]
    for out in outs:
        assert equal(torch.load(out, weights_only=False), expected)
    assert len(list(cache.iterdir())) == 1, "one cache, and no drafts"
    (index,) = (np.fromfile(path, RECORD) for path in cache.glob("*/index"))
    assert (index["filled"] == FILLED).all()
    for process in processes:
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.slow
def test_a_killed_writer_leaves_a_usable_cache(folder: CocoFolder, cache: Path) -> None:
    expected = batches(loader(folder, augment="paper", cache_gib=0))
    for delay in (0.001, 0.02):
        process = start(folder, "paper", "forever", cache)
        assert process.stdout is not None
        while process.stdout.readline() != "again\n":
            assert process.poll() is None
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        process.stdout.close()
        assert equal(batches(loader(folder, augment="paper")), expected)
    assert equal(batches(loader(folder, augment="paper")), expected)


def test_a_set_that_does_not_fit_is_not_kept(
    folder: CocoFolder, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fits = IMAGES * 64 * 64 * 3 / 2**30
    assert reader(folder, cache_gib=fits * 0.99).store is None
    assert reader(folder, cache_gib=0).store is None
    assert not cache.exists()
    assert reader(folder, cache_gib=fits * 1.01).store is not None
    assert capfd.readouterr().err == ""


def test_without_a_place_to_write_there_is_one_note(
    folder: CocoFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    expected = batches(loader(folder, augment="none", cache_gib=0))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "file" / "cache"))
    assert equal(batches(loader(folder, augment="none", workers=2)), expected)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("harness: note: decoded images are not cached: ")


def test_no_room_on_the_disk_is_one_note(
    folder: CocoFolder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    usage = type("Usage", (), {"free": IMAGES * 64 * 64 * 3})
    monkeypatch.setattr(image_cache.shutil, "disk_usage", lambda _: usage)
    assert reader(folder).store is None
    assert "more than half of what is free" in capfd.readouterr().err


@pytest.mark.parametrize("workers", [0, 2])
def test_a_disk_that_fills_up_is_one_note(
    folder: CocoFolder, workers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """Writing fails from some byte on, as the system says with a limit on file sizes."""
    expected = batches(loader(folder, augment="none", cache_gib=0))
    train = loader(folder, augment="none", workers=workers)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
    try:
        assert equal(batches(train), expected)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("harness: note: decoded images are not cached: ")
    assert equal(batches(loader(folder, augment="none")), expected)


def test_caches_that_nobody_uses_go(folder: CocoFolder, cache: Path) -> None:
    for side in (32, 64, 96):
        reader(folder, SquashResize(side, side)).resized(0)
    oldest, old, used = sorted(cache.iterdir(), key=lambda path: path.stat().st_mtime)
    month = time.time() - 31 * 86_400
    os.utime(oldest, (month, month))
    reader(folder, SquashResize(48, 48))
    assert not oldest.exists()
    assert old.exists()
    assert used.exists()


def test_all_caches_together_are_bounded(folder: CocoFolder, cache: Path) -> None:
    limit = IMAGES * 65 * 64 * 3 / 2**30
    for side in range(57, 65):
        reader(folder, SquashResize(side, side), cache_gib=limit)
        time.sleep(0.01)
    total = sum(file.stat().st_size for file in cache.glob("*/pixels"))
    assert total <= 4 * limit * 2**30
    assert len(list(cache.iterdir())) >= 4


def test_a_cache_that_goes_while_it_is_used_is_done_without(folder: CocoFolder) -> None:
    store, _ = slots(folder)
    expected = reader(folder, cache_gib=0).resized(0).pixels
    copy = pickle.loads(pickle.dumps(reader(folder)))  # as a spawned worker gets it
    for name in ("pixels", "index"):
        (store.folder / name).unlink()
    assert torch.equal(copy.resized(0).pixels, expected)
    assert Stamp.of(folder.split("train").images / "1.jpg").size > 0


def test_writing_into_what_was_read_spoils_no_slot(folder: CocoFolder) -> None:
    slots(folder)
    expected = reader(folder, cache_gib=0).resized(0).pixels
    reader(folder).resized(0).pixels.zero_()
    assert torch.equal(reader(folder).resized(0).pixels, expected)
