"""What detectors that are assembled from parts have in common: their input."""

import torch
from torch import Tensor

from harness.data.resize import CornerSquashResize, LetterboxResize, Resize, SquashResize
from harness.manifest.schema import Input
from harness.model.detector import Detector


def make_resize(given: Input) -> Resize:
    """How images come to network size."""
    if given.resize == "letterbox":
        return LetterboxResize(*given.size, given.fill)
    if given.resize == "squash_from_corner":
        return CornerSquashResize(*given.size)
    return SquashResize(*given.size)


class AssembledDetector(Detector):
    """A detector with a manifest's `input`.

    Args:
        classes: names of the classes.
        given: size, resize, order of the channels, mean and standard deviation.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, classes: tuple[str, ...], given: Input) -> None:
        super().__init__()
        self.classes, self.resize = classes, make_resize(given)
        self.reversed_channels = given.channels == "bgr"
        # not part of a checkpoint: published files do not have them
        self.register_buffer("mean", torch.tensor(given.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(given.std)[:, None, None], persistent=False)

    def normalize(self, pixels: Tensor) -> Tensor:
        values = (pixels.to(self.mean.dtype) - self.mean) / self.std
        return values.flip(1) if self.reversed_channels else values
