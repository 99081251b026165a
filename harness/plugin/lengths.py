"""How long a training is, and parts of it as a manifest writes them."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator

IMAGES_OF_COCO = 117_266  # of train2017, those with objects
EPOCHS = re.compile(r"(\d+(?:\.\d+)?) epochs?")


def _read_span(value: Any) -> int | float | str:
    if isinstance(value, str) and EPOCHS.fullmatch(value):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if 0 < value < 1:
            return float(value)
        if value >= 0 and value == value // 1:
            return int(value)
    raise ValueError("should be steps (500), a share of the training (0.05) or '15 epochs'")


# Steps, or below 1 a share of the training, or "N epochs".
Span = Annotated[int | float | str, BeforeValidator(_read_span)]


@dataclass(frozen=True)
class Length:
    """Of a training.

    Attributes:
        steps: of the optimiser.
        epoch: steps of one epoch.
    """

    steps: int
    epoch: float

    def of(self, span: int | float | str) -> int:
        """A `Span` in steps; it may be longer than the training."""
        if isinstance(span, str):
            return round(float(span.split()[0]) * self.epoch)
        return round(span * self.steps) if isinstance(span, float) else span


def epochs_on_coco(steps: int, images: int) -> int:
    """Epochs of COCO's train2017 that come nearest to so many steps of so many images."""
    return round(steps * images / IMAGES_OF_COCO)
