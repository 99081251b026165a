"""Number of parameters."""

from harness.model.detector import Detector
from harness.records.measurement import Measurement
from harness.stages.inputs import CostInput
from harness_plugins.meters.roles import measure_by_role


def measure_parameters(detector: Detector, given: CostInput) -> list[Measurement]:
    """Parameters in millions, buffers not counted, a shared parameter counted once."""
    counts: dict[str, int] = {}
    for name, parameter in detector.named_parameters():
        module = name.rpartition(".")[0]
        counts[module] = counts.get(module, 0) + parameter.numel()
    return measure_by_role("parameters", counts, detector)


class Parameters:
    """Meter of the stage `cost`."""

    def __call__(self, detector: Detector, given: CostInput) -> list[Measurement]:
        return measure_parameters(detector, given)
