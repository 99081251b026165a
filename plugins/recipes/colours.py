"""Colours of a sample."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors

from harness.data.photometric import Distortion, bernoulli, uniform

Target = dict[str, Any]
Augment = Callable[[Tensor, Target], tuple[Tensor, Target]]


def hsv(*, hue: float, saturation: float, value: float) -> Augment:
    """Target: YOLOX's jitter, in OpenCV's units (hue to 180, the others to 255)."""

    def augment(image: Tensor, target: Target) -> tuple[Tensor, Target]:
        most = (hue, saturation, value)
        added = [int(uniform(-m, m)) if bernoulli() else 0 for m in most]
        pixels = image.as_subclass(Tensor).permute(1, 2, 0).contiguous().numpy()
        shifted = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV).astype(np.int16) + added
        shifted[..., 0] %= 180
        changed = cv2.cvtColor(np.clip(shifted, 0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB)
        return tv_tensors.Image(torch.from_numpy(changed).permute(2, 0, 1)), target

    return augment


def photometric(
    *,
    shift: float,
    contrast: tuple[float, float],
    saturation: tuple[float, float],
    hue: float,
) -> Augment:
    """Target: brightness added, contrast and saturation multiplied, each half the time."""

    def augment(image: Tensor, target: Target) -> tuple[Tensor, Target]:
        drawn = Distortion(
            shift=uniform(-shift, shift) if bernoulli() else 0.0,
            contrast=uniform(*contrast) if bernoulli() else 1.0,
            saturation=uniform(*saturation) if bernoulli() else 1.0,
            hue=uniform(-hue, hue) if bernoulli() else 0.0,
        )
        return tv_tensors.Image(drawn(image.as_subclass(Tensor))), target

    return augment
