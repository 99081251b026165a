"""What a step does to the weights: the optimiser, its learning rate, the average of the weights."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from harness.manifest.reader import KeyPath
from harness.manifest.schema import Train
from harness.plan.cells import TrainingParts
from harness.plan.planner import training_parts
from harness.plugin import Length, declarations
from harness.plugin.manager import loaded_plugins

if TYPE_CHECKING:
    from timm.utils.model_ema import ModelEmaV3


@dataclass(frozen=True)
class Optimization:
    """An optimiser and the learning rates of its steps, as the plugins offer them.

    Attributes:
        lr: the schedule's base.
        capturable: the optimiser's steps may be captured.
    """

    parts: TrainingParts

    @classmethod
    def of(cls, settings: Train) -> Self:
        """What `settings` name, by the plugins that are loaded.

        Raises:
            UserError: an unknown name, or parameters that are refused.
        """
        return cls(training_parts(loaded_plugins(), settings, _place))

    @property
    def lr(self) -> float:
        return float(self.parts.optimizer.params["lr"])

    @property
    def capturable(self) -> bool:
        declaration = self.parts.optimizer.declaration
        assert isinstance(declaration, declarations.Optimizer)
        return declaration.capturable

    def build_optimizer(self, model: nn.Module, captured: bool = False) -> torch.optim.Optimizer:
        """Of all weights that require a gradient.

        Args:
            captured: keep the learning rate on the device, where a captured step reads it.
        """
        more = {"capturable": captured} if self.capturable else {}
        made: torch.optim.Optimizer = self.parts.optimizer.make(model, **more)
        for group in made.param_groups if captured else ():
            device = group["params"][0].device
            group["lr"] = torch.tensor(group["lr"], dtype=torch.float32, device=device)
        return made

    @cached_property
    def schedule(self) -> Callable[[int, Length, float], float]:
        rate: Callable[[int, Length, float], float] = self.parts.schedule.make()
        return rate

    def learning_rate(self, step: int, length: Length) -> float:
        """Rate of step `step`, from 0."""
        return self.schedule(step, length, self.lr)


def _place(path: KeyPath) -> str:
    return ".".join(("train", *map(str, path)))


HOW = ("lr", "fused", "foreach", "capturable")  # of a group: where and how it is computed


def load_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Restore the state of each parameter and group; how they are computed, here, stays.

    Raises:
        ValueError: it is of other parameters.
    """
    own = optimizer.state_dict()["param_groups"]
    pairs = zip(own, saved["param_groups"], strict=True)
    groups = [{**theirs, **{k: v for k, v in mine.items() if k in HOW}} for mine, theirs in pairs]
    optimizer.load_state_dict({"state": saved["state"], "param_groups": groups})
    for parameter, kept in optimizer.state.items():
        for name, value in kept.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                # fused kernels walk through memory, and devices lay weights out differently
                own = torch.empty_like(parameter, requires_grad=False)
                kept[name] = own.copy_(value)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Rounded to float32, as a device keeps it: captured and eager steps are then the same."""
    rate = float(np.float32(lr))
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def build_ema(model: nn.Module, settings: Train) -> "ModelEmaV3 | None":
    """timm's average over parameters and buffers; call `update(model, step=...)` after a step.

    Under `ema_decay` with its warm-up (1 - (1 + step)^(-2/3), at most the decay), which lets short
    trainings forget the random weights that they began with; under `ema` with YOLOX's.
    """
    if settings.ema is None and settings.ema_decay is None:
        return None
    from timm.utils.model_ema import ModelEmaV3  # takes seconds, and few trainings average

    if settings.ema is None:
        assert settings.ema_decay is not None
        return ModelEmaV3(model, decay=settings.ema_decay, use_warmup=True)
    decay, ramp = settings.ema.decay, settings.ema.ramp

    class RampedEma(ModelEmaV3):
        def get_decay(self, step: int | None = None) -> float:
            return decay if step is None else decay * (1 - math.exp(-step / ramp))

    return RampedEma(model)
