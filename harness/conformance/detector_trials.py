"""Dense heads, architectures and whole detectors: all that is tried out as a detector."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from harness.conformance.head_trials import CLASSES, detection_misfits, frames
from harness.conformance.trial import Given, Size, Trial, tensors_of
from harness.data.batch import Inputs, Targets
from harness.model.detector import Detector


@dataclass(frozen=True)
class DetectorTrial(Trial):
    """What is tried out as a detector.

    Attributes:
        builder: makes the detector of an input size, for `CLASSES` classes.
        shows_outputs: whether the network's raw outputs are tensors of one row per image, too.
    """

    builder: Callable[[Size], Detector] = field(kw_only=True)
    shows_outputs: bool = field(default=True, kw_only=True)

    def build(self, size: Size) -> nn.Module:
        return self.builder(size)

    def draw(self, size: Size, images: int, generator: torch.Generator) -> Given:
        pixels = torch.randn(images, 3, *size, generator=generator)
        return (pixels, *frames(size, images))

    def blank(self, given: Given) -> Given:
        return (torch.zeros_like(given[0]), *given[1:])

    def trained(self, given: Given) -> Given:
        return ()  # an image learns nothing

    def run(self, part: Any, given: Given) -> Mapping[str, Tensor]:
        inputs = Inputs(*given)
        outputs = part.network(inputs)
        raw = dict(tensors_of(outputs, "outputs")) if self.shows_outputs else {}
        return {**raw, **dict(tensors_of(part.postprocess(outputs, inputs), "detections"))}

    def losses(self, part: Any, given: Given, targets: Targets) -> Mapping[str, Tensor]:
        found: Mapping[str, Tensor] = part.losses(Inputs(*given), targets)
        return found

    def misfits(self, part: Any, size: Size, made: Mapping[str, Tensor]) -> Iterator[str]:
        if len(part.classes) != CLASSES:
            yield f"has {len(part.classes)} classes of {CLASSES}"
        yield from detection_misfits(made)
