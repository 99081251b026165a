"""The stage that times a detector on real images."""

from collections.abc import Iterable, Sequence

from torch import Tensor

from harness.manifest.schema import Latency
from harness.model.detector import Detector
from harness.records.measurement import Measurement
from harness.stages.context import evaluating, with_place
from harness.stages.inputs import LatencyInput, LatencyMeter, OnProgress


def measure_latency(
    detector: Detector,
    meters: Iterable[LatencyMeter],
    images: Sequence[Tensor],
    settings: Latency,
    on_progress: OnProgress | None = None,
) -> list[Measurement]:
    """Time the detector on the device that it is on.

    Args:
        detector: with the weights of the run, since what it finds decides how long NMS takes;
            it is handed back in the mode that it came in.
        meters: see `inputs.LatencyMeter`.
        images: (3, h, w) uint8 RGB in the host's memory, real ones; the first
            `settings.images` are used.
        settings: how often, how warm, how many at once.
        on_progress: told (repetitions done, repetitions wanted).
    """
    given = LatencyInput(tuple(images[: settings.images]), settings, on_progress)
    with evaluating(detector):
        found = [number for meter in meters for number in meter(detector, given)]
    return with_place(found, detector)
