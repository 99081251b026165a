"""Bringing images to network size, in loader workers and in `Detector.preprocess` alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.data.batch import Inputs


@dataclass(frozen=True)
class ResizedImage:
    """One image at network size: pixels (3, H, W) uint8, scale and original size as (y, x)."""

    pixels: Tensor
    scale: tuple[float, float]
    image_size: tuple[int, int]


class Resize(Protocol):
    def __call__(self, image: Tensor) -> ResizedImage:
        """(3, h, w) uint8 -> network size."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """What `harness.data.scaling.network_scale` takes; kept with every measurement."""
        ...


def resize_bilinear(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear without antialiasing, rounded to uint8: OpenCV's INTER_LINEAR within 1 level."""
    if tuple(image.shape[1:]) == size:
        return image
    return resize_bytes(image, size) if image.device.type == "cpu" else resize_floats(image, size)


def resize_bytes(image: Tensor, size: tuple[int, int]) -> Tensor:
    """torch's CPU kernel for uint8, 3-5 times as fast as one in floats.

    It rounds rows and columns apart, which puts it 0.2-0.4 levels from OpenCV on average where
    a single rounding would be 0.1 off.
    """
    # interleaved channels, as decoders give them, have a kernel of their own
    interleaved = image[None].contiguous(memory_format=torch.channels_last)
    return F.interpolate(interleaved, size, mode="bilinear", align_corners=False)[0]


def resize_floats(image: Tensor, size: tuple[int, int]) -> Tensor:
    """The same for every other device, where uint8 kernels cut off instead of rounding."""
    resized = F.interpolate(image[None].float(), size, mode="bilinear", align_corners=False)
    return resized[0].round_().clamp_(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class SquashResize:
    """To (height, width), aspect ratio not kept."""

    height: int
    width: int

    def __call__(self, image: Tensor) -> ResizedImage:
        h, w = image.shape[1:]
        pixels = resize_bilinear(image, (self.height, self.width))
        return ResizedImage(pixels, (self.height / h, self.width / w), (h, w))

    def describe(self) -> Mapping[str, Any]:
        return {"kind": "squash", "height": self.height, "width": self.width}


@dataclass(frozen=True)
class ShortestSideResize:
    """Shortest side to `side`, longest at most `longest`, aspect ratio kept."""

    side: int
    longest: int

    def __call__(self, image: Tensor) -> ResizedImage:
        h, w = image.shape[1:]
        factor = min(self.side / min(h, w), self.longest / max(h, w))
        size = (max(1, int(h * factor)), max(1, int(w * factor)))
        return ResizedImage(resize_bilinear(image, size), (size[0] / h, size[1] / w), (h, w))

    def describe(self) -> Mapping[str, Any]:
        return {"kind": "shortest_side", "side": self.side, "longest": self.longest}


def collate_images(images: Sequence[ResizedImage], divisor: int = 32) -> Inputs:
    """Stack images of network size; pad at right and bottom to a common multiple of `divisor`."""

    def up(n: int) -> int:
        return -(-n // divisor) * divisor

    height = up(max(i.pixels.shape[1] for i in images))
    width = up(max(i.pixels.shape[2] for i in images))
    padded = [
        F.pad(i.pixels, (0, width - i.pixels.shape[2], 0, height - i.pixels.shape[1]))
        for i in images
    ]
    return Inputs(
        pixels=torch.stack(padded),
        sizes=torch.tensor([tuple(i.pixels.shape[1:]) for i in images]),
        scales=torch.tensor([i.scale for i in images], dtype=torch.float32),
        image_sizes=torch.tensor([i.image_size for i in images]),
    )
