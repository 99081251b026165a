"""Tensors that the loader hands to a detector. Batched and padded, never ragged."""

from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor


class TensorStruct:
    """`.to(device)` for a dataclass of tensors."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        def move(value: Any) -> Any:
            is_tensor = isinstance(value, Tensor)
            return value.to(device, non_blocking=non_blocking) if is_tensor else value

        return type(self)(**{f.name: move(getattr(self, f.name)) for f in fields(self)})  # type: ignore[arg-type]


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
    """

    boxes: Tensor
    labels: Tensor
    counts: Tensor

    @property
    def valid(self) -> Tensor:
        """(B, G) bool, False on padding."""
        return torch.arange(self.boxes.shape[1], device=self.counts.device) < self.counts[:, None]
