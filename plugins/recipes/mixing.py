"""One sample of several: mosaic (Bochkovskiy et al. 2020, as YOLOX has it) and mixup (Zhang et al.
2018, for detection)."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from harness.data.augment import Window, cut
from harness.data.photometric import bernoulli, uniform
from harness.data.resize import resize_bilinear
from harness_plugins.recipes.warping import (
    Range,
    Sample,
    Size,
    Target,
    draw_linear,
    join,
    place,
    warp,
)

Others = Callable[[], Sample]
Mix = Callable[[Tensor, Target, Others], Sample]
ALL = torch.ones(0, dtype=torch.bool)  # of a window: which boxes it keeps is not asked here


def mosaic(
    *,
    image_size: Size,
    probability: float,
    degrees: float,
    translate: float,
    scale: Range,
    shear: float,
    fill: int,
) -> Mix:
    """Target."""

    def augment(image: Tensor, target: Target, others: Others) -> Sample:
        if not bernoulli(probability):
            return image, target
        tiled = tile([(image, target), *(others() for _ in range(3))], image_size, fill)
        # about the top left corner, so that at scale 1 a quarter of the four is seen
        linear = draw_linear(degrees, scale, (1.0, 1.0), shear)
        shift = [uniform(-translate, translate) * side for side in reversed(image_size)]
        return warp(*tiled, np.column_stack([linear, shift]), image_size, fill)

    return augment


def tile(samples: list[Sample], size: Size, fill: int) -> Sample:
    """Four samples around a point of a canvas of twice `size`, each fitted into `size`."""
    (height, width), colour = size, torch.full((3,), fill, dtype=torch.uint8)
    y, x = (round(side * uniform(0.5, 1.5)) for side in size)
    rows: list[Tensor] = []
    boxes, labels = [], []
    for top, tall in ((0, y), (y, 2 * height - y)):
        row: list[Tensor] = []
        for left, wide in ((0, x), (x, 2 * width - x)):
            image, target = samples[2 * len(rows) + len(row)]
            factor = min(height / image.shape[-2], width / image.shape[-1])
            fitted = [max(1, round(side * factor)) for side in image.shape[-2:]]
            resized = resize_bilinear(image.as_subclass(Tensor), (fitted[0], fitted[1]))
            # at the point where the four meet
            down, right = (0 if top else tall - fitted[0]), (0 if left else wide - fitted[1])
            row.append(cut(resized, Window(-down, -right, tall, wide, ALL), colour))
            moved = target["boxes"].as_subclass(Tensor) * factor + torch.tensor([right, down] * 2)
            seen = moved.clamp(min=0).minimum(torch.tensor([wide, tall] * 2).to(moved))
            boxes.append(seen + torch.tensor([left, top] * 2))
            labels.append(target["labels"])
        rows.append(torch.cat(row, 2))
    return join(torch.cat(rows, 1), torch.cat(boxes), torch.cat(labels))


def mixup(*, probability: float, weight: float, scale: Range, fill: int) -> Mix:
    """Target."""

    def augment(image: Tensor, target: Target, others: Others) -> Sample:
        if not bernoulli(probability):
            return image, target
        size, (other, more) = (image.shape[-2], image.shape[-1]), others()
        own = (other.shape[-2], other.shape[-1])
        factor = min(size[0] / own[0], size[1] / own[1]) * uniform(*scale)
        other, more = warp(other, more, place(own, size, factor), size, fill)
        one, two = image.as_subclass(Tensor).float(), other.as_subclass(Tensor).float()
        mixed = (weight * one + (1 - weight) * two).round().to(torch.uint8)
        boxes = torch.cat([s["boxes"].as_subclass(Tensor) for s in (target, more)])
        return join(mixed, boxes, torch.cat([target["labels"], more["labels"]]))

    return augment
