"""Samples under an affine map, by one interpolation: `v2.RandomAffine` has no stretch and cannot
give an image of another size."""

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors

from harness.data.photometric import uniform

Range = tuple[float, float]
Size = tuple[int, int]
Matrix = NDArray[np.float64]  # (2, 3), from source to output pixels, edges at whole numbers
Target = dict[str, Any]
Sample = tuple[Tensor, Target]


def warp(image: Tensor, target: Target, matrix: Matrix, size: Size, fill: int) -> Sample:
    """Onto a canvas of `size` (height, width) that is grey level `fill` elsewhere.

    Boxes become those around their four corners, clipped to the canvas.
    """
    (height, width), linear, shift = size, matrix[:, :2], matrix[:, 2]
    # OpenCV counts from the centres of pixels
    centred = np.column_stack([linear, shift + linear @ [0.5, 0.5] - 0.5])
    pixels = image.as_subclass(Tensor).permute(1, 2, 0).contiguous().numpy()
    warped = cv2.warpAffine(pixels, centred, (width, height), borderValue=(fill, fill, fill))
    corners = target["boxes"].as_subclass(Tensor)[:, [0, 1, 2, 1, 0, 3, 2, 3]].view(-1, 4, 2)
    moved = corners @ torch.from_numpy(linear.T).float() + torch.from_numpy(shift).float()
    hulls = torch.cat([moved.amin(1), moved.amax(1)], 1)
    return join(torch.from_numpy(warped).permute(2, 0, 1), hulls, target["labels"])


def join(pixels: Tensor, boxes: Tensor, labels: Tensor) -> Sample:
    """A sample of (3, h, w) pixels and of boxes that are clipped to them."""
    height, width = pixels.shape[-2:]
    clipped = boxes.clamp(min=0.0).minimum(torch.tensor([width, height] * 2).to(boxes))
    corners = tv_tensors.BoundingBoxes(clipped, format="XYXY", canvas_size=(height, width))
    return tv_tensors.Image(pixels), {"boxes": corners, "labels": labels}


def draw_linear(degrees: float, scale: Range, stretch: Range, shear: float) -> Matrix:
    """(2, 2): stretched along each axis, scaled, turned, then sheared."""
    angle, factor = math.radians(uniform(-degrees, degrees)), uniform(*scale)
    cos, sin = factor * math.cos(angle), factor * math.sin(angle)
    shears = [math.tan(math.radians(uniform(-shear, shear))) for _ in range(2)]
    slant = np.array([[1.0, shears[0]], [shears[1], 1.0]])
    stretched = np.diag([uniform(*stretch), uniform(*stretch)])
    return np.asarray(slant @ np.array([[cos, sin], [-sin, cos]]) @ stretched)


def random_affine(
    *, degrees: float, translate: float, scale: Range, stretch: Range, shear: float, fill: int
) -> Callable[[Tensor, Target], Sample]:
    """Target."""

    def augment(image: Tensor, target: Target) -> Sample:
        height, width = image.shape[-2:]
        linear = draw_linear(degrees, scale, stretch, shear)
        centre = np.array([width, height]) / 2
        moved = [uniform(-translate, translate) * width, uniform(-translate, translate) * height]
        matrix = np.column_stack([linear, centre - linear @ centre + moved])
        return warp(image, target, matrix, (height, width), fill)

    return augment


def multi_scale(*, scale: Range, fill: int) -> Callable[[Tensor, Target], Sample]:
    """Target."""

    def augment(image: Tensor, target: Target) -> Sample:
        size = (image.shape[-2], image.shape[-1])
        return warp(image, target, place(size, size, uniform(*scale)), size, fill)

    return augment


def place(size: Size, canvas: Size, factor: float) -> Matrix:
    """An image of `size` scaled and put somewhere: what is smaller inside of the canvas, what is
    larger over all of it."""
    offsets = [(to - of * factor) * uniform(0.0, 1.0) for of, to in zip(size, canvas, strict=True)]
    return np.array([[factor, 0.0, offsets[1]], [0.0, factor, offsets[0]]])
