"""Loaders: batches for training and for evaluation, read ahead by worker processes."""

import math
import signal
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from harness.data.annotations import read_annotations
from harness.data.augment import IMAGENET_MEAN
from harness.data.batch import Inputs, Targets
from harness.data.chain import build_chain
from harness.data.dataset import (
    EvalDataset,
    SampleKey,
    TrainDataset,
    collate_eval,
    collate_train,
)
from harness.data.reading import ImageReader
from harness.data.resize import Resize
from harness.data.scaling import input_size
from harness.data.source import Split
from harness.errors import UserError
from harness.manifest.schema import Evaluate, Train

PREFETCH = 4  # batches that each worker reads ahead


class EpochBatches(Sampler[list[SampleKey]]):
    """Shuffled batches of one epoch, for one process of `world`.

    The order depends on (seed, epoch) alone. Images that do not fill the last batch of all
    processes wait for another epoch; a set smaller than one such batch is repeated to fill it.

    Attributes:
        close_at: batches of the whole training after which `SampleKey.closing` begins.
    """

    def __init__(self, images: int, batch_size: int, seed: int, rank: int, world: int) -> None:
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self.close_at = math.inf
        self.rank, self.world = rank, world
        self.steps_per_epoch = max(1, images // (batch_size * world))
        self.set_epoch(0)

    def set_epoch(self, epoch: int, start_step: int = 0) -> None:
        """Choose the epoch, and the step within it to begin at (after a resume)."""
        if not 0 <= start_step <= self.steps_per_epoch:
            raise ValueError(f"step {start_step} of {self.steps_per_epoch} does not exist")
        self.epoch, self.start_step = epoch, start_step

    def __len__(self) -> int:
        return self.steps_per_epoch - self.start_step

    def __iter__(self) -> Iterator[list[SampleKey]]:
        epoch, order = self.epoch, self._order()
        for step in range(self.start_step, self.steps_per_epoch):
            start = (step * self.world + self.rank) * self.batch_size
            closing = epoch * self.steps_per_epoch + step >= self.close_at
            rows = order[start : start + self.batch_size]
            yield [SampleKey(epoch, row, closing) for row in rows]

    def _order(self) -> list[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order: list[int] = torch.randperm(self.images, generator=generator).tolist()
        return order * math.ceil(self.batch_size * self.world / self.images)


class EvalLoader:
    """Iterates (Inputs, image ids) once over its share of a split each time; `len` counts batches.

    Attributes:
        images: of the share.
    """

    def __init__(self, loader: DataLoader[Any], images: int) -> None:
        self.loader, self.images = loader, images

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[Inputs, list[int]]]:
        return _raising(self.loader)


class TrainLoader:
    """Batches of any epoch from any step on.

    Attributes:
        dataset: what it reads from; `len(dataset)` images are trained on.
    """

    def __init__(self, dataset: TrainDataset, order: EpochBatches, workers: int) -> None:
        self.dataset, self.order = dataset, order
        self.loader: DataLoader[Any] = DataLoader(
            dataset, batch_sampler=order, collate_fn=collate_train, **_options(workers)
        )

    @property
    def steps_per_epoch(self) -> int:
        return self.order.steps_per_epoch

    @property
    def most_boxes(self) -> int:
        """Rows of targets that are enough for every batch of every epoch."""
        return self.dataset.most_boxes

    def batches(self, epoch: int, start: int = 0) -> Iterator[tuple[Inputs, Targets]]:
        """Batches `start`, `start` + 1, ... of an epoch.

        Raises:
            ValueError: the epoch has fewer batches than `start`.
            UserError: an image cannot be used.
        """
        self.order.set_epoch(epoch, start)
        yield from _raising(self.loader)


def _raising(batches: Iterable[Any]) -> Iterator[Any]:
    """A UserError in a worker arrives as a value; it is raised here unchanged."""
    for batch in batches:
        if isinstance(batch, UserError):
            raise batch
        yield batch


def train_loader(
    split: Split,
    resize: Resize,
    settings: Train,
    seed: int,
    *,
    rank: int = 0,
    world: int = 1,
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    colours_on_device: bool = False,
) -> TrainLoader:
    """Batches to train on, uint8 at network size, targets in pixels of the augmented image.

    Every batch is a pure function of (seed, epoch, step, rank, world), whatever the number of
    workers. It shards by itself: do not hand it to `Accelerator.prepare`.

    Args:
        split: the images.
        resize: to network size; it runs in the workers.
        settings: batch size per process, augmentation, workers.
        seed: of order and augmentation.
        rank: of this process.
        world: number of processes.
        mean: RGB colour, in 0..255, of the canvas that expansion fills.
        colours_on_device: the photometric part of the augmentation is left to
            `Detector.prepare`, which a GPU does in no time.

    Raises:
        UserError: wrong annotations, nothing to train on; or, while iterating, a bad image.
    """
    annotations, kept = read_annotations(split.annotations), settings.cache_gib
    chain = build_chain(settings.augment, input_size(resize.describe()), mean)
    on_device = colours_on_device and chain.view is not None and chain.view.distorts
    reader = ImageReader(
        split, annotations.images, resize,
        whole=chain.reads_photos, cache_gib=kept, note=rank == 0,
    )  # fmt: skip
    dataset = TrainDataset(reader, annotations, chain, seed, settings.background, on_device)
    order = EpochBatches(len(dataset), settings.batch_size, seed, rank, world)
    closes = settings.last_phase(order.steps_per_epoch)
    if closes is not None:
        order.close_at = closes * settings.accumulate
    return TrainLoader(dataset, order, settings.workers)


def eval_loader(
    split: Split, resize: Resize, settings: Evaluate, *, rank: int = 0, world: int = 1
) -> EvalLoader:
    """(Inputs, image ids) of all images in the file's order, or of the first `max_images`.

    With several processes each gets every `world`-th batch: the batches are those of one process,
    and with them every bit of what is found.
    """
    images, kept = read_annotations(split.annotations).images, settings.cache_gib
    reader = ImageReader(split, images, resize, whole=False, cache_gib=kept, note=rank == 0)
    dataset = EvalDataset(reader, settings.max_images)
    size, places = settings.batch_size, range(len(dataset))
    share = [list(places[start : start + size]) for start in places[::size]][rank::world]
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_sampler=share,
        collate_fn=collate_eval,
        **_options(settings.workers, persistent=False),
    )
    return EvalLoader(loader, sum(map(len, share)))


def _options(workers: int, persistent: bool = True) -> dict[str, Any]:
    options: dict[str, Any] = {"num_workers": workers, "pin_memory": torch.cuda.is_available()}
    if workers:
        options |= {
            "worker_init_fn": start_worker,
            "prefetch_factor": PREFETCH,
            "persistent_workers": persistent,
        }
    return options


def start_worker(_: int) -> None:
    """One thread per worker; signals are left to the main process, which ends its workers."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
