"""The stage that counts what one image costs."""

from collections.abc import Iterable

from torch import Tensor

from harness.model.detector import Detector
from harness.records.measurement import Measurement
from harness.stages.context import evaluating, with_place
from harness.stages.inputs import CostInput, CostMeter


def measure_cost(
    detector: Detector, meters: Iterable[CostMeter], image: Tensor
) -> list[Measurement]:
    """Count operations, parameters and activations of the detector for one image.

    Args:
        detector: of any weights; it is handed back in the mode that it came in.
        meters: see `inputs.CostMeter`; each finds the detector in evaluation mode.
        image: (3, h, w) uint8 RGB, a real one, since some counts depend on what is found.
    """
    with evaluating(detector):
        found = [number for meter in meters for number in meter(detector, CostInput(image))]
    return with_place(found, detector)
