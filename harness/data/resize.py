"""Resizes images to network size, in loader workers and in `Detector.preprocess` alike."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from cv2.typing import MatLike
from torch import Tensor
from torch.utils.data import get_worker_info

from harness import ops
from harness.data.batch import Inputs
from harness.data.scaling import network_scale, network_size

Pairs = tuple[tuple[float, ...], ...]  # (y, x) of each image

# Each worker of a loader has its own core, and threads of a pool would not survive a fork. A
# second thread gains nothing at the size of a network's input.
cv2.setNumThreads(1)

# earlier ones round the source positions of a warp to 1/32 pixel
WARPS_EXACTLY = int(cv2.__version__.split(".")[0]) >= 5


@dataclass(frozen=True)
class Canvas:
    """What images of any size are put on, at its top left: (height, width), and a grey level."""

    height: int
    width: int
    fill: int


@dataclass(frozen=True)
class ResizedImage:
    """One image at network size: pixels (3, H, W) uint8, scale and original size as (y, x).

    `canvas`: what a batch puts it on; None: black, as large as the largest of the batch.
    """

    pixels: Tensor
    scale: tuple[float, float]
    image_size: tuple[int, int]
    canvas: Canvas | None = None


class Resize(Protocol):
    def __call__(self, image: Tensor) -> ResizedImage:
        """(3, h, w) uint8 -> network size."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """What `harness.data.scaling.network_scale` takes; kept with every measurement."""
        ...


def resize_bilinear(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear without antialiasing, as OpenCV's `INTER_LINEAR` does it, bit for bit.

    Args:
        image: (3, h, w) uint8, of any strides and on any device.
        size: (height, width).

    Returns:
        (3, height, width) uint8, on a CPU interleaved in memory; `image` itself where it has
        that size.
    """
    if image.shape[1:] == size:
        return image
    return (
        resize_by_opencv(image, size)
        if image.device.type == "cpu"
        else ops.resize_bilinear(image, size)
    )


def resize_by_opencv(image: Tensor, size: tuple[int, int]) -> Tensor:
    """On the CPU, in this thread; an interleaved image is read without a copy."""
    height, width = size
    resized = cv2.resize(_as_array(image), (width, height), interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(resized).permute(2, 0, 1)


def resize_from_corner(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, output pixel (x, y) reading the source at (x * w / width, y * h / height).

    So pixel corners coincide at the top left instead of the image's edges, and where the image
    grows the last column and row fade into black: `cv2.warpPerspective` by a diagonal matrix, with
    source positions that are not rounded.

    Args:
        image: (3, h, w) uint8, of any strides and on any device.
        size: (height, width).

    Returns:
        (3, height, width) uint8; `image` itself where it has that size.
    """
    if image.shape[1:] == size:
        return image
    (h, w), (height, width) = image.shape[1:], size
    if image.device.type == "cpu" and WARPS_EXACTLY:
        matrix = np.array([[width / w, 0, 0], [0, height / h, 0]])
        warped = cv2.warpAffine(_as_array(image), matrix, (width, height))
        return torch.from_numpy(warped).permute(2, 0, 1)
    # with a black column and row more on both sides, aligned corners are these positions
    framed = F.pad(image[None].float(), (0, 1, 0, 1))
    grown = F.interpolate(framed, (height + 1, width + 1), mode="bilinear", align_corners=True)
    return grown[0, :, :height, :width].round().to(torch.uint8)


def _as_array(image: Tensor) -> MatLike:
    """(h, w, 3), interleaved in memory."""
    if _is_interleaved(image):
        pixels: MatLike = image.permute(1, 2, 0).numpy()
        return pixels
    # OpenCV would interleave it pixel by pixel, ten times as slow
    planes: list[MatLike] = [plane.numpy() for plane in image]
    return cv2.merge(planes)


def _is_interleaved(image: Tensor) -> bool:
    return image.stride(0) == 1 and image.stride(2) == 3


class _Described(ABC):
    """A resize that is determined by its description."""

    @abstractmethod
    def describe(self) -> Mapping[str, Any]: ...

    def __call__(self, image: Tensor) -> ResizedImage:
        _, h, w = image.shape
        return self.place(self.resample(image, _network_size(self, h, w)), (h, w))

    def resample(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        return resize_bilinear(image, size)

    def place(self, pixels: Tensor, image_size: tuple[int, int]) -> ResizedImage:
        """Resized pixels of an image of (height, width)."""
        (h, w), (height, width) = image_size, pixels.shape[1:]
        return ResizedImage(pixels, (height / h, width / w), (h, w))


@lru_cache(maxsize=1024)  # asked for every image, of which many have the same size
def _network_size(resize: _Described, height: int, width: int) -> tuple[int, int]:
    return network_size(resize.describe(), height, width)


@dataclass(frozen=True)
class SquashResize(_Described):
    """Stretches to (height, width); the aspect ratio changes."""

    height: int
    width: int

    def describe(self) -> Mapping[str, Any]:
        return {"kind": "squash", "height": self.height, "width": self.width}


@dataclass(frozen=True)
class CornerSquashResize(SquashResize):
    """The same by `resize_from_corner`."""

    def resample(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        return resize_from_corner(image, size)

    def describe(self) -> Mapping[str, Any]:
        return {**super().describe(), "sampling": "from the corner"}


@dataclass(frozen=True)
class ShortestSideResize(_Described):
    """Shortest side to `side`, longest at most `longest`, aspect ratio kept."""

    side: int
    longest: int

    def describe(self) -> Mapping[str, Any]:
        return {"kind": "shortest_side", "side": self.side, "longest": self.longest}


@dataclass(frozen=True)
class LetterboxResize(_Described):
    """Fits into (height, width) at the top left, aspect ratio kept, the rest of one grey level.

    As YOLOX has it (https://arxiv.org/abs/2107.08430): sides are cut to whole pixels, the scale
    of boxes is not.
    """

    height: int
    width: int
    fill: int = 114

    def describe(self) -> Mapping[str, Any]:
        size = {"height": self.height, "width": self.width}
        return {"kind": "letterbox", **size, "fill": self.fill}

    def place(self, pixels: Tensor, image_size: tuple[int, int]) -> ResizedImage:
        scale = network_scale(self.describe(), *image_size)
        canvas = Canvas(self.height, self.width, self.fill)
        return ResizedImage(pixels, scale, image_size, canvas)


def collate_images(images: Sequence[ResizedImage], divisor: int = 32) -> Inputs:
    """Stack images of network size, each on its canvas.

    Without one they are padded at right and bottom to a common multiple of `divisor`.
    """
    sizes = [tuple(image.pixels.shape[1:]) for image in images]
    height, width = (-(-max(sides) // divisor) * divisor for sides in zip(*sizes, strict=True))
    canvas = images[0].canvas or Canvas(height, width, 0)
    device = images[0].pixels.device
    pixels = _stack([image.pixels for image in images], canvas)
    return Inputs(pixels, *collate_geometry(images, device))


def collate_geometry(images: Sequence[ResizedImage], device: torch.device) -> list[Tensor]:
    """`sizes`, `scales` and `image_sizes` of `Inputs`."""
    describe = _kept_geometry if device.type == "cuda" else _geometry
    return describe(
        tuple(tuple(image.pixels.shape[1:]) for image in images),
        tuple(image.scale for image in images),
        tuple(image.image_size for image in images),
        device,
    )


def _stack(images: Sequence[Tensor], canvas: Canvas) -> Tensor:
    """(N, 3, height, width), one plane per channel."""
    height, width = canvas.height, canvas.width
    (first, *others), device = images, images[0].device
    fits = first.shape[1:] == (height, width) and first.is_contiguous()
    if fits and not others and get_worker_info() is None:
        return first[None]
    pixels = shared_empty((len(images), 3, height, width), device)
    for row, image in zip(pixels, images, strict=True):
        h, w = image.shape[1:]
        _copy_planes(row[:, :h, :w], image)
        if h < height:
            row[:, h:] = canvas.fill
        if w < width:
            row[:, :h, w:] = canvas.fill
    return pixels


def as_planes(image: Tensor) -> Tensor:
    """(C, h, w) ready to be copied into planes: in host memory one plane per channel.

    A GPU reads interleaved channels just as fast; torch on a CPU does not.
    """
    if image.device.type != "cpu" or image.is_contiguous():
        return image
    planes = torch.empty(image.shape, dtype=image.dtype)
    _copy_planes(planes, image)
    return planes


def _copy_planes(target: Tensor, image: Tensor) -> None:
    if image.device.type == "cpu" and _is_interleaved(image):
        # twice as fast as torch
        cv2.split(_as_array(image), [plane.numpy() for plane in target])
    else:
        target.copy_(image)


def _geometry(
    sizes: Pairs, scales: Pairs, image_sizes: Pairs, device: torch.device
) -> list[Tensor]:
    """The fields of `Inputs` other than the pixels."""
    return [
        torch.tensor(sizes, dtype=torch.int64, device=device),
        torch.tensor(scales, dtype=torch.float32, device=device),
        torch.tensor(image_sizes, dtype=torch.int64, device=device),
    ]


@lru_cache(maxsize=256)
def _kept_geometry(
    sizes: Pairs, scales: Pairs, image_sizes: Pairs, device: torch.device
) -> list[Tensor]:
    """Cached, so that photos of recurring sizes need no copies to a GPU."""
    with torch.inference_mode(False):
        return _geometry(sizes, scales, image_sizes, device)


def shared_empty(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """uint8 memory; in a worker shared memory, which saves a copy to the main process."""
    if get_worker_info() is None:
        return torch.empty(shape, dtype=torch.uint8, device=device)
    storage = torch.UntypedStorage._new_shared(math.prod(shape))  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=torch.uint8).set_(storage).view(shape)
