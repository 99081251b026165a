"""Training augmentation: the chain of SSD (Liu et al. 2016, section 2.2 and 3.6) that TinyDet uses.

Everything draws from torch's default generator, which the data set seeds for each sample.
"""

from typing import Any, Literal

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.tv_tensors import BoundingBoxes, Image

Mode = Literal["none", "flip", "paper"]
IMAGENET_MEAN = (123.675, 116.28, 103.53)
Sample = dict[str, Tensor]
HALF = 0.5


def _happens() -> bool:
    return bool(torch.rand(()) < HALF)


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


class PhotometricDistort(v2.Transform):  # type: ignore[misc]
    """Brightness, contrast, saturation, hue and channel order, each half the time.

    `v2.RandomPhotometricDistort` scales brightness and blends contrast with the mean; SSD adds
    to brightness and scales contrast, before or after the colours, at even odds.

    Args:
        brightness: largest shift, in grey levels.
        contrast: range of the factor on all channels.
        saturation: range of the factor on HSV saturation.
        hue: largest shift, in degrees.
    """

    def __init__(
        self,
        brightness: float = 32.0,
        contrast: tuple[float, float] = (0.5, 1.5),
        saturation: tuple[float, float] = (0.5, 1.5),
        hue: float = 18.0,
    ) -> None:
        super().__init__()
        self.brightness, self.contrast = brightness, contrast
        self.saturation, self.hue = saturation, hue

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {
            "shift": _uniform(-self.brightness, self.brightness) if _happens() else 0.0,
            "contrast": _uniform(*self.contrast) if _happens() else 1.0,
            "contrast_first": _happens(),
            "saturation": _uniform(*self.saturation) if _happens() else 1.0,
            "hue": _uniform(-self.hue, self.hue) if _happens() else 0.0,
            "order": torch.randperm(3) if _happens() else None,
        }

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, Image):
            return inpt
        early = params["contrast"] if params["contrast_first"] else 1.0
        late = 1.0 if params["contrast_first"] else params["contrast"]
        pixels = (inpt.as_subclass(Tensor).float() + params["shift"]) * early
        if params["saturation"] != 1.0 or params["hue"] != 0.0:
            pixels = shift_colours(pixels.clamp_(0, 255), params["saturation"], params["hue"])
        pixels = (pixels * late).round_().clamp_(0, 255).to(torch.uint8)
        return Image(pixels if params["order"] is None else pixels[params["order"]])


def shift_colours(pixels: Tensor, saturation: float, hue: float) -> Tensor:
    """Scale HSV saturation and turn hue by degrees at unchanged value; (3, h, w) float in 0..255.

    Works on the RGB channels themselves: with value v, chroma c and sector position h, each
    channel is v - c * clamp(min(k, 4 - k), 0, 1) for k = (n + h) mod 6, n = 5, 3, 1.
    """
    value, brightest = pixels.max(0)
    chroma = value - pixels.amin(0)
    red, green, blue = pixels
    sector = torch.stack([green - blue, blue - red, red - green]).gather(0, brightest[None])[0]
    sector = sector / chroma.clamp(min=1e-6) + 2.0 * brightest + hue / 60.0
    # saturation is chroma / value and ends at 1
    chroma = torch.minimum(chroma * saturation, value)
    k = (sector + torch.tensor([5.0, 3.0, 1.0])[:, None, None]).remainder_(6.0)
    return value - chroma * torch.minimum(k, 4.0 - k).clamp_(0.0, 1.0)


def build_augment(mode: Mode, mean: tuple[float, float, float] = IMAGENET_MEAN) -> v2.Transform:
    """The chain for a mode: boxes (N, 4) xyxy and pixels uint8 in, the same out.

    "paper" is photometric distortion, expansion to 1-4 times on a canvas of the mean colour half
    the time, a crop (side 0.3-1, aspect 0.5-2, overlap of some box at least 0.1, 0.3, 0.5, 0.7
    or 0.9, or any, or no crop at all; boxes whose centre is inside stay), a flip half the time.
    """
    if mode == "none":
        return v2.Identity()
    flip = v2.RandomHorizontalFlip(HALF)
    if mode == "flip":
        return flip
    canvas = {Image: tuple(round(m) for m in mean), "others": 0}
    return v2.Compose(
        [
            PhotometricDistort(),
            v2.RandomZoomOut(fill=canvas, side_range=(1.0, 4.0), p=HALF),
            v2.RandomIoUCrop(),
            v2.SanitizeBoundingBoxes(min_size=1.0),
            flip,
        ]
    )


def augment(
    chain: v2.Transform, image: Tensor, boxes: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Apply a chain to one image (3, h, w) with boxes (N, 4) and labels (N,).

    A chain that leaves no box gives the image as it came: training needs ground truth.
    """
    size = (image.shape[1], image.shape[2])
    sample: Sample = {
        "image": Image(image),
        "boxes": BoundingBoxes(boxes, format="XYXY", canvas_size=size),
        "labels": labels,
    }
    changed = chain(sample)
    if not len(changed["boxes"]):
        return image, boxes, labels
    return (
        changed["image"].as_subclass(Tensor),
        changed["boxes"].as_subclass(Tensor),
        changed["labels"],
    )
