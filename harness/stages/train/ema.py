"""Moving average of the weights."""

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from timm.utils.model_ema import ModelEmaV3


def build_ema(model: nn.Module, decay: float) -> "ModelEmaV3":
    """timm's average over parameters and buffers; call `update(model, step=...)` after a step.

    Its warm-up (1 - (1 + step)^(-2/3), at most `decay`) lets short trainings forget the random
    weights that they began with.
    """
    from timm.utils.model_ema import ModelEmaV3  # takes seconds, and few trainings average

    return ModelEmaV3(model, decay=decay, use_warmup=True)
