"""Images a second of the training loader; run with `pytest tests/benchmarks --benchmark-only`."""

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.data.loader import TrainLoader, train_loader
from harness.data.resize import SquashResize
from harness.manifest.schema import Train
from harness_plugins.synthetic.source import SyntheticSource

BATCH, BATCHES = 8, 12


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSource:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        made = SyntheticSource(train_images=120, val_images=1, side=640, seed=0)
    made.prepare()
    return made


def read(loader: TrainLoader) -> int:
    return sum(len(inputs.pixels) for inputs, _ in islice(loader.batches(0), BATCHES))


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("augment", ["none", "flip", "paper"])
def test_training_images_a_second(
    benchmark: Any, source: SyntheticSource, augment: Any, workers: int
) -> None:
    torch.set_num_threads(1)
    settings = Train(batch_size=BATCH, augment=augment, workers=workers)
    loader = train_loader(source.split("train"), SquashResize(320, 320), settings, 0)
    read(loader)  # starts the workers
    assert benchmark.pedantic(read, (loader,), rounds=3) == BATCH * BATCHES
    benchmark.extra_info["images_per_second"] = BATCH * BATCHES / benchmark.stats.stats.min


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
