"""Training augmentation: the chain of SSD (Liu et al. 2016, sections 2.2, 3.6) that TinyDet uses.

Everything draws from torch's default generator, which the data set seeds for each sample.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torchvision.ops import box_iou

Mode = Literal["none", "flip", "paper"]
Sample = tuple[Tensor, Tensor, Tensor]
Augment = Callable[[Tensor, Tensor, Tensor], Sample]
IMAGENET_MEAN = (123.675, 116.28, 103.53)
HALF = 0.5
OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, None)  # None: no crop
TRIALS = 40  # crops tried before another overlap is drawn
MIN_SIDE = 1.0  # pixels of a box that a crop may leave


def _happens() -> bool:
    return bool(torch.rand(()) < HALF)


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


@dataclass(frozen=True)
class Colours:
    """One draw of the photometric distortion; the defaults change nothing.

    `v2.RandomPhotometricDistort` scales brightness and blends contrast with the mean; SSD adds
    to brightness and scales contrast, before or after the colours at even odds.

    Attributes:
        shift: grey levels added.
        contrast: factor on all channels.
        contrast_first: whether it comes before saturation and hue.
        saturation: factor on HSV saturation.
        hue: degrees.
        order: of the channels.
    """

    shift: float = 0.0
    contrast: float = 1.0
    contrast_first: bool = True
    saturation: float = 1.0
    hue: float = 0.0
    order: tuple[int, ...] = (0, 1, 2)

    def __call__(self, pixels: Tensor) -> Tensor:
        """(3, h, w) uint8 -> the same, distorted."""
        if self == Colours(contrast_first=self.contrast_first):
            return pixels
        early, late = (self.contrast, 1.0) if self.contrast_first else (1.0, self.contrast)
        # one plane a channel: reductions over interleaved channels are slow
        values = pixels.contiguous().float().add_(self.shift).mul_(early)
        if self.saturation != 1.0 or self.hue != 0.0:
            values = shift_colours(values.clamp_(0, 255), self.saturation, self.hue)
        return values.mul_(late).round_().clamp_(0, 255).to(torch.uint8)[list(self.order)]


def draw_colours() -> Colours:
    """Brightness up to 32 levels, contrast and saturation 0.5-1.5, hue up to 18 degrees, channel
    order: each half the time."""
    return Colours(
        shift=_uniform(-32.0, 32.0) if _happens() else 0.0,
        contrast=_uniform(0.5, 1.5) if _happens() else 1.0,
        contrast_first=_happens(),
        saturation=_uniform(0.5, 1.5) if _happens() else 1.0,
        hue=_uniform(-18.0, 18.0) if _happens() else 0.0,
        order=tuple(torch.randperm(3).tolist()) if _happens() else (0, 1, 2),
    )


def shift_colours(pixels: Tensor, saturation: float, hue: float) -> Tensor:
    """Scale HSV saturation and turn hue by degrees at unchanged value; (3, h, w) float in 0..255.

    Works on the RGB channels themselves: with value v, chroma c and sector position h, each
    channel is v - c * clamp(min(k, 4 - k), 0, 1) for k = (n + h) mod 6, n = 5, 3, 1.
    """
    red, green, blue = pixels
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    scale = chroma.clamp(min=1e-6)
    of_blue = (red - green).div_(scale).add_(4.0)
    of_green = (blue - red).div_(scale).add_(2.0)
    of_red = (green - blue).div_(scale)
    sector = torch.where(value == red, of_red, torch.where(value == green, of_green, of_blue))
    # saturation is chroma / value and ends at 1
    chroma = torch.minimum(chroma * saturation, value)
    k = (sector + (torch.tensor([5.0, 3.0, 1.0]) + hue / 60.0)[:, None, None]).remainder_(6.0)
    return value - chroma * torch.minimum(k, 4.0 - k).clamp_(0.0, 1.0)


@dataclass(frozen=True)
class Window:
    """What is cut out of the plane that the photo lies in, in pixels of the photo; it may reach
    over its edges. `kept` says which boxes stay."""

    top: int
    left: int
    height: int
    width: int
    kept: Tensor


def draw_window(image: Tensor, boxes: Tensor) -> Window:
    """Expansion, half the time, then crop; the canvas between them is never made.

    The draws are those of `v2.RandomZoomOut` and `v2.RandomIoUCrop`, all trials of a crop at once.
    """
    height, width = image.shape[1:]
    ratio = _uniform(1.0, 4.0) if _happens() else 1.0
    canvas = (int(height * ratio), int(width * ratio))
    top = int((canvas[0] - height) * _uniform(0.0, 1.0))
    left = int((canvas[1] - width) * _uniform(0.0, 1.0))
    every = torch.ones(len(boxes), dtype=torch.bool)
    return _draw_crop(Window(-top, -left, *canvas, every), boxes)


def _draw_crop(canvas: Window, boxes: Tensor) -> Window:
    """A crop whose overlap with some box whose centre it holds reaches the drawn minimum."""
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


def cut(image: Tensor, window: Window, fill: Tensor, colours: Callable[[Tensor], Tensor]) -> Tensor:
    """Pixels of a window, `fill` (3,) where the photo does not reach; colours of the photo only."""
    bottom, right = window.top + window.height, window.left + window.width
    top, left = max(0, window.top), max(0, window.left)
    photo = colours(image[:, top:bottom, left:right])
    if photo.shape[1:] == (window.height, window.width):
        return photo
    rows = fill.repeat(window.width).expand(window.height, -1).contiguous()
    pixels = rows.view(window.height, window.width, 3).permute(2, 0, 1)
    y, x = top - window.top, left - window.left
    pixels[:, y : y + photo.shape[1], x : x + photo.shape[2]] = photo
    return pixels


def keep_as_is(image: Tensor, boxes: Tensor, labels: Tensor) -> Sample:
    return image, boxes, labels


def flip_half(image: Tensor, boxes: Tensor, labels: Tensor) -> Sample:
    """Mirror left to right, half the time."""
    if not _happens():
        return image, boxes, labels
    x1, y1, x2, y2 = boxes.unbind(1)
    width = image.shape[2]
    return image.flip(-1), torch.stack([width - x2, y1, width - x1, y2], dim=1), labels


@dataclass(frozen=True)
class PaperAugment:
    """The whole chain, in the paper's order but never computing a pixel that is not used.

    Photometric distortion; expansion to 1-4 times on a canvas of the mean colour, half the time;
    a crop (side 0.3-1, aspect 0.5-2, overlap with some box at least 0.1, 0.3, 0.5, 0.7 or 0.9,
    or any, or no crop; boxes whose centre is inside stay, clipped); a flip half the time. A crop
    that leaves no box of `MIN_SIDE` is not made: training needs ground truth.
    """

    mean: tuple[float, float, float]

    def __call__(self, image: Tensor, boxes: Tensor, labels: Tensor) -> Sample:
        colours, window = draw_colours(), draw_window(image, boxes)
        corner = torch.tensor([window.left, window.top] * 2, dtype=boxes.dtype)
        end = torch.tensor([window.width, window.height] * 2, dtype=boxes.dtype)
        moved = (boxes - corner).clamp_(min=0.0).minimum(end)
        kept = window.kept & (moved[:, 2:] - moved[:, :2] >= MIN_SIDE).all(1)
        if not kept.any():
            return flip_half(colours(image), boxes, labels)
        fill = torch.tensor([round(m) for m in self.mean], dtype=torch.uint8)
        return flip_half(cut(image, window, fill, colours), moved[kept], labels[kept])


def build_augment(mode: Mode, mean: tuple[float, float, float] = IMAGENET_MEAN) -> Augment:
    """The augmentation of a mode; `mean` is the colour, in 0..255, of the expansion's canvas.

    It takes and returns pixels (3, h, w) uint8, boxes (N, 4) xyxy in them and labels (N,).
    """
    modes: dict[Mode, Augment] = {
        "none": keep_as_is,
        "flip": flip_half,
        "paper": PaperAugment(mean),
    }
    return modes[mode]
