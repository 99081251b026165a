"""Optimisers by their manifest names."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.manifest.schema import Optimizer


def build_optimizer(
    parameters: Iterable[nn.Parameter], settings: Optimizer, capturable: bool = False
) -> torch.optim.Optimizer:
    """One group with every parameter that wants a gradient.

    Weight decay falls on all of them, norms and biases too, as in the papers reproduced here.
    The fused kernels matter on a CPU: a small detector has hundreds of small tensors.

    Args:
        capturable: keep the learning rate on the device, where a recorded step reads it.

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


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Rounded to float32, as which a device keeps it: a recorded step takes the same steps."""
    rate = float(np.float32(lr))
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def load_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Take over what was learnt; settings, and where the learning rate is kept, stay.

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
