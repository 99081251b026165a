"""Batches without end, from any place in any epoch."""

from collections.abc import Callable, Iterator
from typing import Protocol

from harness.data.batch import Inputs, Targets

Batch = tuple[Inputs, Targets]


class TrainBatches(Protocol):
    """What the loop asks of a loader: `harness.data.loader.TrainLoader` has it.

    What a batch holds follows from (seed, epoch, step) alone. All have the same number of images.
    """

    @property
    def steps_per_epoch(self) -> int: ...

    @property
    def most_boxes(self) -> int:
        """Of any image: no batch of any epoch has more rows of targets."""
        ...

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Batches `start`, `start` + 1, ... of an epoch."""
        ...


MakeLoader = Callable[[int, int], TrainBatches]


def endless(loader: TrainBatches, position: int) -> Iterator[Batch]:
    """Batches from `position` on, counted from the start of epoch 0 over all epochs."""
    epoch, start = divmod(position, loader.steps_per_epoch)
    while True:
        yield from loader.batches(epoch, start)
        epoch, start = epoch + 1, 0
