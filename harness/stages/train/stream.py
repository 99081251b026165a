"""Batches without end, from any place in any epoch."""

from collections.abc import Callable, Iterator
from typing import Protocol

from harness.data.batch import Inputs, Targets

Batch = tuple[Inputs, Targets]


class TrainBatches(Protocol):
    """What the loop asks of a loader: `harness.data.loader.TrainLoader` has it.

    What a batch holds follows from (seed, epoch, step) alone.
    """

    @property
    def steps_per_epoch(self) -> int: ...

    def set_epoch(self, epoch: int, start_step: int = 0) -> None:
        """Choose what the next iteration gives."""
        ...

    def __iter__(self) -> Iterator[Batch]: ...


MakeLoader = Callable[[int, int], TrainBatches]


def endless(loader: TrainBatches, position: int) -> Iterator[Batch]:
    """Batches from `position` on, counted from the start of epoch 0 over all epochs."""
    epoch, start = divmod(position, loader.steps_per_epoch)
    while True:
        loader.set_epoch(epoch, start)
        yield from loader
        epoch, start = epoch + 1, 0
