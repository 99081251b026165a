"""What detectors are trained by: optimisers and schedules."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from harness.plugin import Optimizer, Params, Schedule, Span, hookimpl

_HERE = "harness_plugins.recipes"
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Spared = tuple[Literal["norm", "bias"], ...]


class OptimizerParams(Params):
    """What every shipped optimiser has.

    Attributes:
        lr: the schedule's base.
        no_decay: weights without weight decay: `norm` those of normalisations, `bias` all biases;
            true for both. Without, all weights decay, as in the papers of TinyDet and NanoDet-Plus.
    """

    lr: Positive = 0.02
    weight_decay: NotNegative = 1e-5
    no_decay: Spared = ()

    @field_validator("no_decay", mode="before")
    @classmethod
    def _by_a_word(cls, value: Any) -> Any:
        return {True: ("norm", "bias"), False: ()}[value] if isinstance(value, bool) else value


class SgdParams(OptimizerParams):
    __doc__ = OptimizerParams.__doc__

    momentum: Fraction = 0.9
    nesterov: bool = False

    @model_validator(mode="after")
    def _with_momentum(self) -> "SgdParams":
        if self.nesterov and not self.momentum:
            raise ValueError("'nesterov' needs a momentum")
        return self


class TimmParams(OptimizerParams):
    """One of timm's.

    Attributes:
        opt: name that `timm.optim.list_optimizers()` knows.
        momentum: of those that have one.
        options: further keyword arguments of the optimiser.
    """

    opt: str
    momentum: Fraction = 0.9
    options: Annotated[dict[str, Any], Field(default_factory=dict)]


class WarmUpParams(Params):
    """Warm-up: the rate rises from `warmup_factor` of itself over `warmup_steps`.

    Attributes:
        warmup: along a line or a parabola.
        warmup_steps: steps, a share of the training below 1, or "N epochs".
    """

    warmup: Literal["linear", "quadratic"] = "linear"
    warmup_steps: Span = 500
    warmup_factor: Fraction = 1 / 3


class CosineParams(WarmUpParams):
    """Half a cosine from the optimiser's `lr` to `final_lr`, and a warm-up.

    Attributes:
        final_factor: the final rate as a share of `lr`, in place of `final_lr`.
        final_steps: at the end, at the final rate (steps, a share, or "N epochs").
        after_warmup: the cosine begins when the warm-up ends, not below it.
    """

    final_lr: NotNegative = 0.0
    final_factor: Fraction | None = None
    final_steps: Span = 0
    after_warmup: bool = False

    @model_validator(mode="after")
    def _one_end(self) -> "CosineParams":
        if self.final_factor is not None and self.final_lr:
            raise ValueError("give 'final_lr' or 'final_factor', not both")
        return self


class MultiStepParams(WarmUpParams):
    """The rate is multiplied by `gamma` at each milestone; and a warm-up.

    Attributes:
        milestones: steps, shares of the training below 1, or "N epochs".
    """

    milestones: Annotated[tuple[Span, ...], Field(min_length=1)] = (8 / 12, 11 / 12)
    gamma: Positive = 0.1


@hookimpl
def harness_optimizers() -> Sequence[Optimizer]:
    at = f"{_HERE}.optimizers"
    return [
        Optimizer("sgd", f"{at}:sgd", SgdParams, "SGD with momentum", capturable=True),
        Optimizer("adamw", f"{at}:adamw", OptimizerParams, "AdamW", capturable=True),
        Optimizer("timm", f"{at}:from_timm", TimmParams, "an optimiser of timm, by its name"),
    ]


@hookimpl
def harness_schedules() -> Sequence[Schedule]:
    at = f"{_HERE}.schedules"
    return [
        Schedule("cosine", f"{at}:cosine", CosineParams, "half a cosine after a warm-up"),
        Schedule("multi_step", f"{at}:multi_step", MultiStepParams, "a factor at each milestone"),
        Schedule("constant", f"{at}:constant", WarmUpParams, "one rate after a warm-up"),
    ]
