"""What a step does to the weights: the optimiser, its learning rate, the average of the weights."""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.manifest.schema import Optimizer, Schedule

if TYPE_CHECKING:
    from timm.utils.model_ema import ModelEmaV3


def build_optimizer(
    parameters: Iterable[nn.Parameter], settings: Optimizer, capturable: bool = False
) -> torch.optim.Optimizer:
    """One group of all parameters that require a gradient.

    Weight decay applies to all of them, norms and biases too, as in the papers reproduced here.
    The fused kernels matter on a CPU: a small detector has hundreds of small tensors.

    Args:
        capturable: keep the learning rate on the device, where a captured step reads it.

    Raises:
        ValueError: nothing to train.
    """
    trained = [p for p in parameters if p.requires_grad]
    decay = settings.weight_decay
    lr: Any = settings.lr
    if capturable and trained:
        lr = torch.tensor(lr, dtype=torch.float32, device=trained[0].device)
    if settings.name == "adamw":
        return torch.optim.AdamW(
            trained, lr=lr, weight_decay=decay, fused=True, capturable=capturable
        )
    sgd = torch.optim.SGD(
        trained, lr=lr, momentum=settings.momentum, weight_decay=decay, fused=True
    )
    if settings.momentum:
        # the fused kernel would leave them unset in a first step that overflows (float16)
        for p in trained:
            sgd.state[p]["momentum_buffer"] = torch.zeros_like(p, requires_grad=False)
    return sgd


def load_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Restore the state of each parameter; settings, and where the learning rate is kept, stay.

    Raises:
        ValueError: it is of other parameters.
    """
    own = optimizer.state_dict()["param_groups"]
    pairs = zip(own, saved["param_groups"], strict=True)
    groups = [{**mine, "params": theirs["params"]} for mine, theirs in pairs]
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


def learning_rate(step: int, total: int, base: float, schedule: Schedule) -> float:
    """Rate of step `step` (from 0) of `total`: a pure function, so there is nothing to restore.

    A half cosine from `base` to `schedule.final_lr` over the whole length (Loshchilov and
    Hutter, SGDR, arXiv 1608.03983, eq. 5, one period), multiplied during warm-up by a line
    from `warmup_factor` at step 0 to 1 at `warmup_steps`.
    """
    cosine = 0.5 * (1 + math.cos(math.pi * step / total))
    rate = schedule.final_lr + (base - schedule.final_lr) * cosine
    if step >= schedule.warmup_steps:
        return rate
    return rate * (
        schedule.warmup_factor + (1 - schedule.warmup_factor) * step / schedule.warmup_steps
    )


def build_ema(model: nn.Module, decay: float) -> "ModelEmaV3":
    """timm's average over parameters and buffers; call `update(model, step=...)` after a step.

    Its warm-up (1 - (1 + step)^(-2/3), at most `decay`) lets short trainings forget the random
    weights that they began with.
    """
    from timm.utils.model_ema import ModelEmaV3  # takes seconds, and few trainings average

    return ModelEmaV3(model, decay=decay, use_warmup=True)
