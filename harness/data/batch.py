"""What the loader gives to a detector: batched, padded tensors."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

LOW = 2**32 - 1


class TensorStruct:
    """Moves, copies and pins a dataclass of tensors and of such dataclasses."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """Into pinned memory; a torch loader calls this if there is a GPU."""
        return self._each(Tensor.pin_memory)

    def clone(self) -> Self:
        return self._each(Tensor.clone)

    def tensors(self) -> Iterator[Tensor]:
        """All of them, in the order of the fields."""
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, TensorStruct):
                yield from value.tensors()
            elif isinstance(value, Tensor):
                yield value

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        def changed(value: Any) -> Any:
            if isinstance(value, TensorStruct):
                return value._each(change)
            return change(value) if isinstance(value, Tensor) else value

        return type(self)(**{f.name: changed(getattr(self, f.name)) for f in fields(self)})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Inputs(TensorStruct):
    """A batch of images as a detector takes them.

    Attributes:
        pixels: (B, 3, H, W), padded at the right and the bottom; uint8 RGB as the loader gives
            it, floating point once `Detector.normalize` has run.
        sizes: (B, 2) int64, valid (height, width) inside `pixels`.
        scales: (B, 2) float32, network pixels per image pixel in (y, x).
        image_sizes: (B, 2) int64, (height, width) of the image before resizing.
    """

    pixels: Tensor
    sizes: Tensor
    scales: Tensor
    image_sizes: Tensor


@dataclass(frozen=True)
class Targets(TensorStruct):
    """Ground truth of a batch. Rows from `counts[b]` on are padding (zeros).

    Attributes:
        boxes: (B, G, 4) float32 xyxy with exclusive corners, in image pixels (or in network
            pixels after `BoxFrame.to_network`).
        labels: (B, G) int64, contiguous from 0.
        counts: (B,) int64.
        seeds: (B,) int64, for what a loss draws at random in an image: of the training, its
            epoch and the image. None: from torch's generator.
    """

    boxes: Tensor
    labels: Tensor
    counts: Tensor
    seeds: Tensor | None = None

    @property
    def valid(self) -> Tensor:
        """(B, G) bool, False on padding."""
        return torch.arange(self.boxes.shape[1], device=self.counts.device) < self.counts[:, None]

    def at_least_one(self) -> "Targets":
        """With a row of padding where no image has a box, so that G is positive."""
        if self.boxes.shape[1] > 0:
            return self
        boxes, labels = F.pad(self.boxes, (0, 0, 0, 1)), F.pad(self.labels, (0, 1))
        return replace(self, boxes=boxes, labels=labels)

    def draw(self, count: int) -> Tensor:
        """(B, count) float32, uniform in [0, 1): of each image by its own seed.

        An image's numbers depend neither on the batch that it is in nor on the process or the
        device that draws them.
        """
        seeds = self.seeds
        if seeds is None:
            seeds = torch.randint(2**62, self.counts.shape, device=self.counts.device)
        places = torch.arange(count, device=seeds.device)
        low, high = _scramble(seeds & LOW)[:, None], (seeds >> 32 & LOW)[:, None]
        # added, not mixed by bits: places would then only be exchanged
        words = _scramble(_scramble(places + low & LOW) ^ high)
        return (words >> 8).float() * 2.0**-24


def _scramble(words: Tensor) -> Tensor:
    """A permutation of the numbers below 2^32 in which no bit of the input is to be recognised.

    "lowbias32" of Chris Wellons, https://nullprogram.com/blog/2018/07/31/.
    """
    words = (words ^ words >> 16) * 0x7FEB352D & LOW
    words = (words ^ words >> 15) * 0x846CA68B & LOW
    return words ^ words >> 16
