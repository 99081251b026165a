"""Images a second of the training loader; run with `pytest tests/benchmarks --benchmark-only`."""

from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from harness.data.loader import TrainLoader, train_loader
from harness.data.photometric import UndistortedInputs
from harness.data.resize import SquashResize, resize_bilinear
from harness.manifest.schema import Train
from harness_plugins.synthetic.source import SyntheticSource

BATCH, BATCHES, EPOCHS = 8, 12, 3


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSource:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        made = SyntheticSource(train_images=120, val_images=1, side=640, seed=0)
    made.prepare()
    return made


def read(loader: TrainLoader) -> int:
    return sum(len(inputs.pixels) for inputs, _ in islice(loader.batches(0), BATCHES))


def images_per_second(loader: TrainLoader, epoch: int) -> float:
    start = perf_counter()
    images = sum(len(inputs.pixels) for inputs, _ in loader.batches(epoch))
    return images / (perf_counter() - start)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_training_images_a_second(
    benchmark: Any,
    capsys: Any,
    source: SyntheticSource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
) -> None:
    """Without a cache, while it fills and once it is full: taken in turns, one process."""
    torch.set_num_threads(1)
    split, table, rows = source.split("train"), [], {}

    def measure() -> None:
        for augment in ("none", "flip", "paper", "paper, colours on the device"):
            kind, on_device = augment.split(",")[0], "device" in augment
            monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / augment.replace(" ", "")))
            how = {"batch_size": BATCH, "augment": kind, "workers": workers}
            kept, off = (
                train_loader(
                    split,
                    SquashResize(320, 320),
                    Train.model_validate({**how, "cache_gib": gib}),
                    0,
                    colours_on_device=on_device,
                )
                for gib in (4.0, 0.0)
            )
            for loader in (kept, off):
                list(loader.batches(0))  # starts the workers
            for index in tmp_path.rglob("index"):
                index.write_bytes(bytes(index.stat().st_size))  # all slots empty again
            cold = images_per_second(kept, 0)
            pairs = [
                (images_per_second(off, e), images_per_second(kept, e)) for e in range(1, EPOCHS)
            ]
            without, warm = (median(each) for each in zip(*pairs, strict=True))
            rows[augment] = {"off": without, "filling": cold, "full": warm}

    benchmark.pedantic(measure, rounds=1)
    base = rows["none"]["off"]
    for augment, found in rows.items():
        shown = "  ".join(f"{name} {v:6.0f}/s {v / base:5.2f}x" for name, v in found.items())
        table.append(f"{augment:30} {shown}")
    benchmark.extra_info.update(rows)
    with capsys.disabled():
        print(f"\n{benchmark.name}", *table, sep="\n  ")


def resize_by_torch(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """torch's own kernel for interleaved bytes, which is a level off here and there."""
    interleaved = image[None].contiguous(memory_format=torch.channels_last)
    return F.interpolate(interleaved, size, mode="bilinear", align_corners=False)[0]


@pytest.mark.parametrize("size", [(480, 640), (640, 640), (1080, 1920), (200, 200)])
def test_resize(benchmark: Any, capsys: Any, size: tuple[int, int]) -> None:
    torch.set_num_threads(1)
    image = torch.randint(0, 256, (*size, 3), dtype=torch.uint8).permute(2, 0, 1)
    seconds: dict[Any, list[float]] = {resize_bilinear: [], resize_by_torch: []}

    def measure() -> None:
        for resize, times in seconds.items():
            start = perf_counter()
            resize(image, (320, 320))
            times.append(perf_counter() - start)

    benchmark.pedantic(measure, rounds=60, warmup_rounds=3)
    ours, torchs = (median(times) for times in seconds.values())
    with capsys.disabled():
        print(f"\n{benchmark.name}: {ours * 1e3:.2f} ms, {torchs / ours:.1f}x as fast as torch")
    assert ours <= torchs


def test_colours_of_a_batch(benchmark: Any, source: SyntheticSource) -> None:
    """What the device has to do where colours are left to it."""
    settings = Train(batch_size=BATCH, augment="paper", workers=0)
    split, resize = source.split("train"), SquashResize(320, 320)
    loader = train_loader(split, resize, settings, 0, colours_on_device=True)
    inputs, _ = next(loader.batches(0))
    assert isinstance(inputs, UndistortedInputs)
    benchmark(inputs.distorted)


def test_single_sample(benchmark: Any, source: SyntheticSource) -> None:
    torch.set_num_threads(1)
    settings = Train(batch_size=1, augment="paper", workers=0)
    loader = train_loader(source.split("train"), SquashResize(320, 320), settings, 0)
    keys = [batch[0] for batch in loader.order]
    samples = benchmark.pedantic(
        lambda: [loader.dataset.sample(key) for key in keys], rounds=2, warmup_rounds=1
    )
    assert len(samples) == len(keys)
    assert Path(source.root).is_dir()
