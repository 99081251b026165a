"""Photometric distortion (Liu et al. 2016, SSD, after Howard 2013), of one photo or of a batch.

It runs at network size, in a loader's worker or on the device; `docs/architecture.md` says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.data.batch import Inputs, TensorStruct

Rectangle = tuple[int, int, int, int]  # x1, y1, x2, y2, exclusive corners


def bernoulli(p: float = 0.5) -> bool:
    """True with probability `p`, by torch's default generator, seeded for each sample."""
    return bool(torch.rand(()) < p)


def uniform(low: float, high: float) -> float:
    """Uniform in [low, high), by the same generator."""
    return low + (high - low) * float(torch.rand(()))


@dataclass(frozen=True)
class Distortion:
    """One draw of the photometric distortion; the defaults change nothing.

    `v2.RandomPhotometricDistort` scales brightness and blends contrast with the mean; SSD adds
    to brightness and scales contrast, before or after saturation and hue at even odds.

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
        if self == Distortion(contrast_first=self.contrast_first):
            return pixels
        early, late = self.contrasts
        # one plane per channel: reductions over interleaved channels are slow
        values = pixels.contiguous().float().add_(self.shift).mul_(early)
        if self.saturation != 1.0 or self.hue != 0.0:
            values = shift_hue_and_saturation(values.clamp_(0, 255), self.saturation, self.hue)
        return values.mul_(late).round_().clamp_(0, 255).to(torch.uint8)[list(self.order)]

    def within(self, pixels: Tensor, photo: Rectangle) -> Tensor:
        """(3, H, W) uint8 -> the same with the photo in it distorted."""
        x1, y1, x2, y2 = photo
        if photo == (0, 0, pixels.shape[2], pixels.shape[1]):
            return self(pixels)
        changed = pixels.clone()
        changed[:, y1:y2, x1:x2] = self(pixels[:, y1:y2, x1:x2])
        return changed

    @property
    def contrasts(self) -> tuple[float, float]:
        """Factors before and after saturation and hue."""
        return (self.contrast, 1.0) if self.contrast_first else (1.0, self.contrast)


def draw_distortion() -> Distortion:
    """Brightness up to 32 levels, contrast and saturation 0.5-1.5, hue up to 18 degrees, channel
    order: each half the time."""
    return Distortion(
        shift=uniform(-32.0, 32.0) if bernoulli() else 0.0,
        contrast=uniform(0.5, 1.5) if bernoulli() else 1.0,
        contrast_first=bernoulli(),
        saturation=uniform(0.5, 1.5) if bernoulli() else 1.0,
        hue=uniform(-18.0, 18.0) if bernoulli() else 0.0,
        order=tuple(torch.randperm(3).tolist()) if bernoulli() else (0, 1, 2),
    )


def shift_hue_and_saturation(
    pixels: Tensor, saturation: float | Tensor, hue: float | Tensor
) -> Tensor:
    """Scale HSV saturation and turn hue by degrees at unchanged value.

    Works on the RGB channels themselves: with value v, chroma c and sector position h, each
    channel is v - c * clamp(min(k, 4 - k), 0, 1) for k = (n + h) mod 6, n = 5, 3, 1.

    Args:
        pixels: (..., 3, h, w) floats in 0..255.
        saturation, hue: one, or one per image, (..., 1, 1).
    """
    red, green, blue = pixels.unbind(-3)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    scale = chroma.clamp(min=1e-6)
    of_blue = (red - green).div_(scale).add_(4.0)
    of_green = (blue - red).div_(scale).add_(2.0)
    of_red = (green - blue).div_(scale)
    sector = torch.where(value == red, of_red, torch.where(value == green, of_green, of_blue))
    sector = sector + hue / 60.0
    # saturation is chroma / value and ends at 1
    chroma = torch.minimum(chroma * saturation, value)[..., None, :, :]
    k = torch.stack([sector + 5.0, sector + 3.0, sector + 1.0], -3).remainder_(6.0)
    share = torch.minimum(k, 4.0 - k).clamp_(0.0, 1.0)
    return value[..., None, :, :] - share.mul_(chroma)


@dataclass(frozen=True)
class BatchDistortion(TensorStruct):
    """One draw per image, as tensors that move with the batch.

    Attributes:
        amounts: (B, 5) float32: shift, contrast before and after the next two, saturation, hue.
        order: (B, 3) int64.
        photo: (B, 4) int64 xyxy, where in the network's pixels the photo is.
    """

    amounts: Tensor
    order: Tensor
    photo: Tensor

    @classmethod
    def of(cls, draws: Sequence[Distortion], photos: Sequence[Rectangle]) -> "BatchDistortion":
        amounts = [(d.shift, *d.contrasts, d.saturation, d.hue) for d in draws]
        order = torch.tensor([d.order for d in draws])
        return cls(torch.tensor(amounts), order, torch.tensor(photos))

    def __call__(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> the same, distorted as `Distortion.within` does one by one.

        Every image goes through every operation, so that shapes and kernels are always the same.
        """
        shift, early, late, saturation, hue = self.amounts[:, :, None, None, None].unbind(1)
        values = pixels.float().add_(shift).mul_(early)
        turned = shift_hue_and_saturation(values.clamp(0, 255), saturation[:, 0], hue[:, 0])
        values = torch.where((saturation != 1.0) | (hue != 0.0), turned, values)
        values = values.mul_(late).round_().clamp_(0, 255).to(torch.uint8)
        images = torch.arange(len(pixels), device=pixels.device)[:, None]
        return torch.where(self._inside(pixels), values[images, self.order], pixels)

    def _inside(self, pixels: Tensor) -> Tensor:
        """(B, 1, H, W) bool: the photo."""
        x1, y1, x2, y2 = self.photo[:, :, None].unbind(1)
        x = torch.arange(pixels.shape[3], device=pixels.device)
        y = torch.arange(pixels.shape[2], device=pixels.device)
        rows, columns = (y1 <= y) & (y < y2), (x1 <= x) & (x < x2)
        return (rows[:, :, None] & columns[:, None])[:, None]


@dataclass(frozen=True)
class UndistortedInputs(Inputs):
    """Inputs that are still to be distorted, on whatever device they are moved to."""

    distortion: BatchDistortion

    def distorted(self) -> Inputs:
        return Inputs(self.distortion(self.pixels), self.sizes, self.scales, self.image_sizes)
