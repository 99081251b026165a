"""Number of parameters."""

from collections import Counter

from harness.model.detector import Detector
from harness.records.measurement import Measurement
from harness.stages.inputs import CostInput
from harness_plugins.meters.roles import measure_by_role


class Parameters:
    """Meter of the stage `cost`: in millions, at inference; no buffers, a shared parameter once."""

    def __call__(self, detector: Detector, given: CostInput) -> list[Measurement]:
        counts: Counter[str] = Counter()
        for name, parameter in detector.named_parameters():
            if not name.startswith(detector.training_only):
                counts[name.rpartition(".")[0]] += parameter.numel()
        return measure_by_role("parameters", counts, detector)
