"""What every mode makes of a detector: the three things that are timed, and what they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from harness.data.batch import Inputs
from harness.data.resize import ResizedImage, collate_images
from harness.model.detector import Detector
from harness.model.types import Detections
from harness.plugin.metrics import Finding


@dataclass(frozen=True)
class Artifact:
    """What a mode ships of a detector.

    Attributes:
        size: in bytes.
        counted: what has this size: "files", or "parameters and buffers".
        reload: opens the files again, so that the runner's next call is the first that what was
            opened answers; the seconds that it took. None of a mode without files.
    """

    size: int
    counted: str
    reload: Callable[[], float] | None = None


@dataclass(frozen=True)
class NodeTime:
    """What one node of a runtime's graph took in one repetition.

    Attributes:
        modules: paths in the detector of the modules that it was made from; empty where the runtime
            does not tell.
    """

    modules: tuple[str, ...]
    milliseconds: float


Profile = Callable[[Callable[[], object], int], Sequence[Sequence[NodeTime]]]


@dataclass(frozen=True)
class Runner:
    """A detector as one mode runs it. In evaluation, without gradients.

    Attributes:
        detector: the one that runs; a copy where the mode changes weights or modules.
        mode: of a declaration, such as "eager".
        precision: of convolutions and products: "float32", "tf32", "bfloat16", "float16".
        network: normalised inputs -> raw outputs.
        forward: normalised inputs -> detections: network and postprocessing.
        detect_pixels: uint8 inputs of network size on the device -> detections.
        about: says what else a reader of its times must know; see `conditions`.
        place: resized images -> the batch where `detect_pixels` needs no copy of it, None where
            there is no such place; `detect` alone uses it, since the next call overwrites it.
        findings: what is to be known of its times.
        compile_seconds: that compiling or exporting took at all first calls until now.
        artifact: what it ships, None where the mode does not know; see `Artifact`.
        profile: repeats a step so often under its runtime's own profiler, which takes time itself,
            and returns the times of all nodes in each repetition; None of a mode without one.
    """

    detector: Detector
    mode: str
    precision: str
    network: Callable[[Inputs], Any]
    forward: Callable[[Inputs], Detections]
    detect_pixels: Callable[[Inputs], Detections]
    about: Callable[[], dict[str, Any]] = dict
    findings: tuple[Finding, ...] = ()
    compile_seconds: Callable[[], float] = float
    artifact: Callable[[], Artifact | None] = lambda: None
    profile: Profile | None = None
    place: Callable[[Sequence[ResizedImage]], Inputs | None] = lambda images: None

    @property
    def conditions(self) -> dict[str, Any]:
        """Such as `folded_norms`; once everything has run, also `graph_breaks`."""
        return self.about()

    @property
    def device(self) -> torch.device:
        return self.detector.device

    def load(self, images: Sequence[Tensor]) -> Inputs:
        """uint8 RGB images (3, h, w) of any sizes -> a uint8 batch on the device."""
        return self._collate([self.detector.resize(image) for image in images])

    def _collate(self, resized: Sequence[ResizedImage]) -> Inputs:
        return collate_images(resized).to(self.device, non_blocking=True)

    def prepare(self, images: Sequence[Tensor]) -> Inputs:
        """uint8 RGB images -> what `network` and `forward` take."""
        return self.detector.prepare(self.load(images))

    def detect(self, images: Sequence[Tensor]) -> Detections:
        """uint8 RGB images -> detections on the device: everything, end to end."""
        resized = [self.detector.resize(image) for image in images]
        placed = self.place(resized)
        return self.detect_pixels(self._collate(resized) if placed is None else placed)


class Runtime(Protocol):
    """What the target of a `Mode` makes: how a detector is run in that mode.

    It may also have `save(detector, folder, batch_size)`, for `harness export-model`: it writes
    files and returns what `model.json` says of them, their names as `files`.
    """

    def lacking(self, precision: str, device: torch.device) -> str | None:
        """Why the mode cannot run there in this precision, None where it can."""
        ...

    def build(self, detector: Detector, precision: str) -> Runner:
        """The detector in this mode, only where nothing is lacking.

        A mode that is declared as quantised is given a `calibration` as well, by that name.

        Args:
            detector: in evaluation mode; it must not be changed.
        """
        ...


@dataclass(frozen=True)
class Calibration:
    """Images by which a mode of fewer bits chooses its scales.

    Attributes:
        images: (3, h, w) uint8 RGB, of the training split.
        seed: that they were drawn with.
        batch_size: of the batches that the mode will run on.
    """

    images: Sequence[Tensor]
    seed: int
    batch_size: int


def functions_of(
    detector: Detector, prepare: Callable[[Inputs], Inputs] | None = None
) -> dict[str, Any]:
    """The `network`, `forward` and `detect_pixels` of a `Runner`: the detector's own methods.

    Args:
        prepare: uint8 inputs -> normalised; the detector's own by default.
    """
    ready = prepare or detector.prepare
    return {
        # looked up at each call: a mode may give the detector methods of its own
        "network": lambda inputs: detector.network(inputs),
        "forward": lambda inputs: detector.forward(inputs),
        "detect_pixels": lambda inputs: detector.forward(ready(inputs)),
    }
