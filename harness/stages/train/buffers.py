"""Batches of one shape for a whole training, in memory that stays where it is."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from harness.data.batch import Targets
from harness.stages.train.stream import Batch

ROUNDED_TO = 8  # rows of targets: data sets that differ by a box have the same shape


class Buffers:
    """A copy of a step's batches on the device, refilled for every step.

    Args:
        micro: the first step's batches; their shapes are those of all.
        most_boxes: of any image. Targets get rows for as many, so that no step has a new shape;
            rows that an image does not need are padding.
        device: of the copy.
    """

    def __init__(self, micro: Sequence[Batch], most_boxes: int, device: torch.device) -> None:
        rows = -(-max(1, most_boxes) // ROUNDED_TO) * ROUNDED_TO
        self.micro: list[Batch] = [
            (inputs.to(device).clone(), room_for(targets, rows, device))
            for inputs, targets in micro
        ]

    def fit(self, micro: Sequence[Batch]) -> bool:
        """Whether batches have the shapes of these, but for rows of targets."""
        return len(micro) == len(self.micro) and all(
            type(inputs) is type(own_inputs)
            and all(a.shape == b.shape for a, b in zip(own, given, strict=True))
            and targets.labels.shape[1] <= own_targets.labels.shape[1]
            for (own_inputs, own_targets), (inputs, targets) in zip(self.micro, micro, strict=True)
            for own, given in [(own_inputs.tensors(), inputs.tensors())]
        )

    def fill(self, micro: Sequence[Batch]) -> None:
        """Copy batches that fit; the device is not waited for where they are page-locked."""
        for own, given in self._pairs(micro):
            own.copy_(given, non_blocking=True)

    def _pairs(self, micro: Sequence[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
        for (own_inputs, own_targets), (inputs, targets) in zip(self.micro, micro, strict=True):
            yield from zip(own_inputs.tensors(), inputs.tensors(), strict=True)
            yield own_targets.counts, targets.counts
            width = targets.labels.shape[1]
            for own, given in (
                (own_targets.boxes, targets.boxes),
                (own_targets.labels, targets.labels),
            ):
                own[:, width:].zero_()
                yield own[:, :width], given


def room_for(targets: Targets, rows: int, device: torch.device) -> Targets:
    """Targets of zeros for the same images, with room for `rows` boxes each."""
    images = len(targets.counts)
    return Targets(
        targets.boxes.new_zeros(images, rows, 4, device=device),
        targets.labels.new_zeros(images, rows, device=device),
        targets.counts.new_zeros(images, device=device),
    )
