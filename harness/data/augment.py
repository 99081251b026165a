"""Augmentations that are drawn before any pixel is read: flips, and the one of SSD (Liu et al.
2016, sections 2.2, 3.6), which TinyDet uses. `harness.data.dataset` applies them to the pixels.

All draws are from torch's default generator, which the data set seeds for each sample.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from harness.data.photometric import (
    Distortion,
    Rectangle,
    bernoulli,
    draw_distortion,
    uniform,
)

Size = tuple[int, int]
IMAGENET_MEAN = (123.675, 116.28, 103.53)
OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, None)  # None: no crop
TRIALS = 40  # crops to try before another overlap is drawn
UNCHANGED = Distortion()
MIN_SIDE = 1.0  # pixels of a box that a crop may leave


@dataclass(frozen=True)
class Window:
    """The crop, in pixels of the photo; it may extend beyond the photo. `kept`: boxes that stay."""

    top: int
    left: int
    height: int
    width: int
    kept: Tensor


def draw_window(size: Size, boxes: Tensor) -> Window:
    """Expansion with probability 0.5, then a crop; the canvas in between is never made.

    The draws are those of `v2.RandomZoomOut` and `v2.RandomIoUCrop`, all trials of a crop at once.
    """
    height, width = size
    ratio = uniform(1.0, 4.0) if bernoulli() else 1.0
    canvas = (int(height * ratio), int(width * ratio))
    top = int((canvas[0] - height) * uniform(0.0, 1.0))
    left = int((canvas[1] - width) * uniform(0.0, 1.0))
    every = torch.ones(len(boxes), dtype=torch.bool)
    return _draw_crop(Window(-top, -left, *canvas, every), boxes)


def _draw_crop(canvas: Window, boxes: Tensor) -> Window:
    """A crop whose IoU with a box centred in it reaches the minimum that is drawn."""
    from torchvision.ops import box_iou  # takes seconds to import, for trainings alone

    if not len(boxes):
        return canvas
    while (least := OVERLAPS[int(torch.randint(len(OVERLAPS), ()))]) is not None:
        crops = _draw_crops(canvas)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        inside = (centres > crops[:, None, :2]).all(2) & (centres < crops[:, None, 2:]).all(2)
        overlaps = box_iou(crops, boxes).masked_fill(~inside, -1.0)
        good = (overlaps.amax(1) >= least).nonzero()
        if len(good):
            first = int(good[0])
            left, top, right, bottom = (int(side) for side in crops[first].tolist())
            return Window(top, left, bottom - top, right - left, inside[first])
    return canvas


def _draw_crops(canvas: Window) -> Tensor:
    """(n, 4) xyxy whole-pixel crops of allowed aspect, n at most `TRIALS`."""
    canvas_size = torch.tensor([canvas.width, canvas.height], dtype=torch.float32)
    sizes = (canvas_size * (0.3 + 0.7 * torch.rand(TRIALS, 2))).floor()
    corners = ((canvas_size - sizes) * torch.rand(TRIALS, 2)).floor()
    corners = corners + torch.tensor([canvas.left, canvas.top])
    aspects = sizes[:, 0] / sizes[:, 1]
    return torch.cat([corners, corners + sizes], dim=1)[(aspects >= 0.5) & (aspects <= 2.0)]


def cut(photo: Tensor, window: Window, fill: Tensor) -> Tensor:
    """Pixels of a window, with `fill` (3,) outside the photo (3, h, w)."""
    bottom, right = window.top + window.height, window.left + window.width
    top, left = max(0, window.top), max(0, window.left)
    part = photo[:, top:bottom, left:right]
    if part.shape[1:] == (window.height, window.width):
        return part
    rows = fill.repeat(window.width).expand(window.height, -1).contiguous()
    pixels = rows.view(window.height, window.width, 3).permute(2, 0, 1)
    y, x = top - window.top, left - window.left
    pixels[:, y : y + part.shape[1], x : x + part.shape[2]] = part
    return pixels


@dataclass(frozen=True)
class View:
    """How a training sample is made from a photo.

    Attributes:
        boxes: (N, 4) xyxy of the objects that stay, in pixels of the window, flipped with it.
        labels: (N,).
        window: what is cut out of the photo; None: all of it.
        flip: horizontally, after resizing.
        distortion: applied after resizing, where the photo is.
    """

    boxes: Tensor
    labels: Tensor
    window: Window | None = None
    flip: bool = False
    distortion: Distortion = UNCHANGED


Draw = Callable[[Size, Tensor, Tensor], View]  # of size, boxes and labels of a photo


@dataclass(frozen=True)
class ViewAugment:
    """An augmentation by views, also of a sample whose pixels are there.

    Attributes:
        cuts: it may make windows, for which the whole photo is read.
        distorts: it may change colours.
        fill: (3,) uint8, the colour around the photo.
    """

    draw: Draw
    cuts: bool = False
    distorts: bool = False
    fill: Tensor | None = None

    def __call__(self, image: Tensor, target: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        """As a transform of `torchvision.transforms.v2`."""
        from torchvision import tv_tensors  # takes seconds to import, for trainings alone

        height, width = image.shape[-2:]
        view = self.draw((height, width), target["boxes"].as_subclass(Tensor), target["labels"])
        pixels, photo = image.as_subclass(Tensor), (0, 0, width, height)
        if view.window is not None:
            assert self.fill is not None
            pixels = cut(pixels, view.window, self.fill)
            photo = _inside(view.window, (height, width))
        pixels = view.distortion.within(pixels, photo)
        pixels = tv_tensors.Image(pixels.flip(-1) if view.flip else pixels)
        size = tuple(pixels.shape[-2:])
        boxes = tv_tensors.BoundingBoxes(view.boxes, format="XYXY", canvas_size=size)
        return pixels, {"boxes": boxes, "labels": view.labels}


def _inside(window: Window, size: Size) -> Rectangle:
    """The photo in pixels of a window."""
    x1, y1 = max(0, -window.left), max(0, -window.top)
    x2 = min(window.width, size[1] - window.left)
    return x1, y1, max(x1, x2), max(y1, min(window.height, size[0] - window.top))


def keep_as_is(size: Size, boxes: Tensor, labels: Tensor) -> View:
    return View(boxes, labels)


def flip_half(size: Size, boxes: Tensor, labels: Tensor) -> View:
    """Horizontal flip with probability 0.5."""
    flip = bernoulli()
    return View(mirror(boxes, size[1]) if flip else boxes, labels, flip=flip)


def mirror(boxes: Tensor, width: int) -> Tensor:
    x1, y1, x2, y2 = boxes.unbind(1)
    return torch.stack([width - x2, y1, width - x1, y2], dim=1)


def paper_augment(size: Size, boxes: Tensor, labels: Tensor) -> View:
    """The whole augmentation; pixels that are not used are never read.

    Photometric distortion; expansion to 1-4 times on a canvas of the mean colour, with
    probability 0.5; a crop (side 0.3-1, aspect 0.5-2, IoU with some box at least 0.1, 0.3, 0.5,
    0.7 or 0.9, or any, or no crop; boxes whose centre is inside stay, clipped); a flip with
    probability 0.5. A crop that leaves no box of `MIN_SIDE` is not made: training needs ground
    truth. A photo without boxes is not cropped.
    """
    distortion, window = draw_distortion(), draw_window(size, boxes)
    if not len(boxes):
        seen = flip_half((window.height, window.width), boxes, labels)
        return replace(seen, window=window, distortion=distortion)
    corner = torch.tensor([window.left, window.top] * 2, dtype=boxes.dtype)
    end = torch.tensor([window.width, window.height] * 2, dtype=boxes.dtype)
    moved = (boxes - corner).clamp_(min=0.0).minimum(end)
    kept = window.kept & (moved[:, 2:] - moved[:, :2] >= MIN_SIDE).all(1)
    if not kept.any():
        return replace(flip_half(size, boxes, labels), distortion=distortion)
    seen = flip_half((window.height, window.width), moved[kept], labels[kept])
    return replace(seen, window=window, distortion=distortion)


def none() -> ViewAugment:
    """Target of the augmentation."""
    return ViewAugment(keep_as_is)


def flip() -> ViewAugment:
    """Target of the augmentation."""
    return ViewAugment(flip_half)


def paper(mean: tuple[float, float, float]) -> ViewAugment:
    """Target of the augmentation."""
    fill = torch.tensor([round(m) for m in mean], dtype=torch.uint8)
    return ViewAugment(paper_augment, cuts=True, distorts=True, fill=fill)
