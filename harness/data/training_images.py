"""Which images of a split are trained on. No torch here."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.data.annotations import Annotations

MIN_IMAGE_SIDE = 32  # pixels; smaller images are left out of training
DRAW = 0xBAC6  # keeps this draw apart from those of samples, which have the same seed

Positions = NDArray[np.int64]
Background = Literal["keep", "drop"] | float


def trainable_images(annotations: Annotations) -> Positions:
    """Positions of the images with a trainable box and no side under `MIN_IMAGE_SIDE`."""
    return _positions(annotations, lambda n: len(annotations.trainable(n)) > 0)


def background_images(annotations: Annotations) -> Positions:
    """Positions of the images without any object, and with no side under `MIN_IMAGE_SIDE`.

    Images whose only objects are crowds, or too small to train on, are not among them.
    """
    return _positions(annotations, lambda n: annotations.offsets[n] == annotations.offsets[n + 1])


def _positions(annotations: Annotations, chosen: Callable[[int], bool]) -> Positions:
    found = [
        position
        for position, image in enumerate(annotations.images)
        if min(image.width, image.height) >= MIN_IMAGE_SIDE and chosen(position)
    ]
    return np.array(found, dtype=np.int64)


def training_images(annotations: Annotations, background: Background, seed: int) -> Positions:
    """Positions of the images to train on, ascending; none where no box can be trained on.

    Args:
        background: "keep" or "drop" images without any object, or the largest share that they may
            have in what is trained on, from 0 to below 1.
        seed: draws those that take part where a share is given.
    """
    own, without = trainable_images(annotations), background_images(annotations)
    if background == "drop" or not len(own):
        return own
    if background != "keep":
        share = float(background)
        most = int(share / (1 - share) * len(own) + 1e-9)
        if most < len(without):
            draw = np.random.default_rng(np.random.SeedSequence((seed, DRAW)))
            without = draw.choice(without, most, replace=False)
    return np.sort(np.concatenate([own, without]))


def tell_background(annotations: Annotations, background: Background) -> str:
    """What becomes of the images without objects; "" where there are none."""
    own, without = len(trainable_images(annotations)), len(background_images(annotations))
    if not without:
        return ""
    used = len(training_images(annotations, background, 0)) - own
    told = "all" if used == without else str(used) if used else "none"
    takes = "takes" if told in ("none", "1") else "take"
    return (
        f"{without} images hold no object (background): {told} {takes} part in training beside "
        f"{own} with objects (train.background: {background})"
    )
