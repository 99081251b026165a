"""What a part costs, counted by the meters that count detectors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.conformance.nonconforming import Problems
from harness.conformance.trial import Given, Size, Trial
from harness.data.batch import Inputs, Targets
from harness.data.resize import SquashResize
from harness.model.detector import Detector
from harness.model.types import Detections
from harness.plugin.manager import loaded_plugins
from harness.stages.cost import measure_cost

METERS = ("macs_paper", "parameters")


@dataclass(frozen=True)
class Cost:
    """What one image costs.

    Attributes:
        size: (height, width) of the image.
        macs: in millions, as `macs_paper` counts.
        parameters: in millions.
    """

    size: Size
    macs: float
    parameters: float

    def __str__(self) -> str:
        height, width = self.size
        return f"{self.macs:.4g} MMACs at {height}x{width}, {self.parameters:.3g} M parameters"


class Single(Detector):
    """A part as the only one of a detector, as far as meters look at one."""

    def __init__(self, trial: Trial, part: nn.Module, given: Given) -> None:
        super().__init__()
        self.trial, self.part, self.given = trial, part, given
        self.classes, self.resize = ("object",), SquashResize(*trial.sizes[-1])
        self.roles = {trial.declaration.kind: ("part",)}

    def normalize(self, pixels: Tensor) -> Tensor:
        return pixels.float() / 255

    def network(self, inputs: Inputs) -> Mapping[str, Tensor]:
        return self.trial.run(self.part, self.given)

    def postprocess(self, outputs: Any, inputs: Inputs) -> Detections:
        raise NotImplementedError("a part alone detects nothing")

    def losses(self, inputs: Inputs, targets: Targets) -> dict[str, Tensor]:
        raise NotImplementedError("a part alone is not trained")


def count_cost(trial: Trial, part: nn.Module, problems: Problems) -> Cost | None:
    """Count it by role; None for a part without weights, of which nothing is counted.

    What no meter would count is added to `problems`.
    """
    if not any(True for _ in part.parameters()):
        return None
    given = trial.draw(trial.sizes[-1], 1, torch.Generator().manual_seed(0))
    detector = part if isinstance(part, Detector) else Single(trial, part, given)
    meters = [loaded_plugins().get("meter", name).declaration.load()() for name in METERS]
    image = torch.full((3, *trial.sizes[-1]), 127, dtype=torch.uint8)
    found = {(m.metric, m.scope): m for m in measure_cost(detector, meters, image)}
    macs, parameters = (found[name, ""] for name in METERS)
    for name in METERS:
        lost = found.get((name, "role/other"))
        if lost is not None and lost.value:
            problems.add(
                f"{lost.value:.3g} M of {name} belong to no role: its roles leave them out"
            )
    if not macs.value:
        for one in macs.warnings:
            if one.code == "not_counted":
                problems.add(
                    f"macs_paper counts nothing of it: {one.params['mmacs']:.3g} MMACs run as "
                    f"{one.params['operator']}, outside of torch.nn's modules"
                )
    return Cost(trial.sizes[-1], macs.value, parameters.value)
