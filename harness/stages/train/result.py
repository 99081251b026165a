"""What a training says while it runs and when it is done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.records.layout import CHECKPOINT
from harness.records.measurement import Measurement
from harness.stages.metrics import (
    TRAIN_LOSS,
    TRAIN_MEMORY,
    TRAIN_SPEED,
    TRAIN_TIME,
    TRAIN_WAIT,
)
from harness.stages.train.clock import Clock, ratio
from harness.stages.train.losses import GRAD_NORM
from harness.stages.train.state import State


@dataclass(frozen=True)
class Progress:
    """After each step, in the main process.

    Attributes:
        step: steps done, of `total`.
        losses: means of the last `log_every` steps; renewed at each log line, empty before.
        learning_rate: of the step just done.
        images_per_second: of all processes since the line before, NaN before the first.
        wait_share: of that time, the share spent waiting for the loader.
        validation: metric -> its newest value on images of the validation split.
        validated: the step behind which that was measured, 0 before the first.
        ends_line: whether a line of the log was written behind this step.
        doing: what keeps the next step waiting, where that is worth telling.
    """

    step: int
    total: int
    epoch: int
    losses: Mapping[str, float]
    learning_rate: float
    images_per_second: float
    wait_share: float
    doing: str = ""
    validation: Mapping[str, float] = field(default_factory=dict)
    validated: int = 0
    ends_line: bool = False

    @property
    def ends_validation(self) -> bool:
        """Whether the validation split was evaluated behind this step."""
        return not self.doing and self.validated == self.step


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class TrainResult:
    """Measurements and the last checkpoint, {"state_dict", "meta"}."""

    measurements: list[Measurement]
    checkpoint: Path
    steps: int


def result_of(state: State, folder: Path) -> TrainResult:
    """The result of a training whose state says done."""
    clock = Clock(**state["clock"])
    found = measure(clock, state["losses"], state["window"], state["conditions"])
    return TrainResult(found, folder / CHECKPOINT, state["step"])


def measure(
    clock: Clock, losses: Mapping[str, float], window: int, conditions: Mapping[str, Any]
) -> list[Measurement]:
    """Numbers of a finished training.

    Args:
        losses: means over the last `window` steps.
    """
    terms = {name: value for name, value in losses.items() if name != GRAD_NORM}
    timing = {**conditions, "first_steps_left_out": clock.first_steps}
    timing["first_steps_seconds"] = round(clock.first_steps_seconds, 3)
    memory = "allocated on the GPU" if conditions["device"] == "cuda" else "resident, sampled"
    return [
        Measurement(TRAIN_LOSS, sum(terms.values()), count=window),
        *(
            Measurement(TRAIN_LOSS, value, scope=f"loss/{name}", count=window)
            for name, value in terms.items()
        ),
        Measurement(
            TRAIN_SPEED,
            ratio(clock.images, clock.step_seconds),
            count=clock.steps,
            conditions=timing,
        ),
        Measurement(
            TRAIN_WAIT,
            ratio(clock.wait_seconds, clock.step_seconds),
            count=clock.steps,
            conditions=timing,
        ),
        Measurement(
            TRAIN_TIME,
            clock.wall_seconds,
            conditions={**conditions, "sessions": clock.sessions},
        ),
        Measurement(
            TRAIN_MEMORY,
            clock.peak_bytes / 2**20,
            conditions={**conditions, "memory": memory},
        ),
    ]
