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
from harness.plugin.declarations import Meter
from harness.plugin.manager import loaded_plugins
from harness.stages.cost import measure_cost


@dataclass(frozen=True)
class Cost:
    """What one image costs.

    Attributes:
        size: (height, width) of the image.
        amounts: metric -> what was counted, in its unit.
        units: metric -> its unit.
    """

    size: Size
    amounts: Mapping[str, float]
    units: Mapping[str, str]

    def __str__(self) -> str:
        height, width = self.size
        counted = (f"{name} {value:.4g} {self.units[name]}" for name, value in self.amounts.items())
        return f"{', '.join(counted)} at {height}x{width}"


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

    By the meters whose metrics rank detectors. What none of them counts is added to `problems`.
    """
    if not any(True for _ in part.parameters()):
        return None
    given = trial.draw(trial.sizes[-1], 1, torch.Generator().manual_seed(0))
    detector = part if isinstance(part, Detector) else Single(trial, part, given)
    image = torch.full((3, *trial.sizes[-1]), 127, dtype=torch.uint8)
    amounts, units = {}, {}
    for meter in _ranking_meters():
        found = {(m.metric, m.scope): m for m in measure_cost(detector, [meter.load()()], image)}
        for spec in meter.specs():
            whole, lost = found[spec.name, ""], found.get((spec.name, "role/other"))
            amounts[spec.name], units[spec.name] = whole.value, spec.unit
            if lost is not None and lost.value:
                problems.add(
                    f"{lost.value:.3g} {spec.unit} of {spec.name} belong to no role: its "
                    "roles do not cover them"
                )
            if not whole.value:
                for one in whole.warnings:
                    said = meter.messages.get(one.code, one.code).format(**one.params)
                    problems.add(f"{spec.name} counts nothing of it: {said}")
    return Cost(trial.sizes[-1], amounts, units)


def _ranking_meters() -> list[Meter]:
    """Of the stage `cost`, those of which a metric has a line in the answer of the page."""
    found = [entry.declaration for entry in loaded_plugins().entries("meter")]
    return [
        one
        for one in found
        if isinstance(one, Meter) and one.stage == "cost" and any(s.role for s in one.specs())
    ]
