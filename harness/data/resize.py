"""Bringing images to network size, in loader workers and in `Detector.preprocess` alike."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import get_worker_info

from harness.data.batch import Inputs
from harness.data.scaling import network_size


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


class _Described(ABC):
    """A resize that does what its description says, and nothing else."""

    @abstractmethod
    def describe(self) -> Mapping[str, Any]: ...

    def __call__(self, image: Tensor) -> ResizedImage:
        h, w = image.shape[1:]
        return at_network_size(resize_bilinear(image, network_size(self.describe(), h, w)), (h, w))


def at_network_size(pixels: Tensor, image_size: tuple[int, int]) -> ResizedImage:
    """Resized pixels of an image of (height, width)."""
    (h, w), (height, width) = image_size, pixels.shape[1:]
    return ResizedImage(pixels, (height / h, width / w), (h, w))


@dataclass(frozen=True)
class SquashResize(_Described):
    """To (height, width), aspect ratio not kept."""

    height: int
    width: int

    def describe(self) -> Mapping[str, Any]:
        return {"kind": "squash", "height": self.height, "width": self.width}


@dataclass(frozen=True)
class ShortestSideResize(_Described):
    """Shortest side to `side`, longest at most `longest`, aspect ratio kept."""

    side: int
    longest: int

    def describe(self) -> Mapping[str, Any]:
        return {"kind": "shortest_side", "side": self.side, "longest": self.longest}


def collate_images(images: Sequence[ResizedImage], divisor: int = 32) -> Inputs:
    """Stack images of network size; pad at right and bottom to a common multiple of `divisor`."""
    sizes = [tuple(image.pixels.shape[1:]) for image in images]
    height, width = (-(-max(sides) // divisor) * divisor for sides in zip(*sizes, strict=True))
    pixels = shared_empty((len(images), 3, height, width), images[0].pixels.device)
    for row, image, (h, w) in zip(pixels, images, sizes, strict=True):
        row[:, :h, :w] = image.pixels
        row[:, h:] = 0
        row[:, :h, w:] = 0
    return Inputs(pixels, *collate_geometry(images))


def collate_geometry(images: Sequence[ResizedImage]) -> tuple[Tensor, Tensor, Tensor]:
    """`sizes`, `scales` and `image_sizes` of `Inputs`, in the host's memory."""
    return (
        torch.tensor([tuple(image.pixels.shape[1:]) for image in images]),
        torch.tensor([image.scale for image in images], dtype=torch.float32),
        torch.tensor([image.image_size for image in images]),
    )


def shared_empty(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """uint8 memory; in a loader's worker that of all processes, which saves a copy on the way."""
    if get_worker_info() is None:
        return torch.empty(shape, dtype=torch.uint8, device=device)
    storage = torch.UntypedStorage._new_shared(math.prod(shape))  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=torch.uint8).set_(storage).view(shape)
