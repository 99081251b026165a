"""Optimisers by their manifest names."""

from collections.abc import Iterable

import torch
from torch import nn

from harness.manifest.schema import Optimizer


def build_optimizer(
    parameters: Iterable[nn.Parameter], settings: Optimizer
) -> torch.optim.Optimizer:
    """One group with every parameter that wants a gradient.

    Weight decay falls on all of them, norms and biases too, as in the papers reproduced here.
    The fused kernels matter on a CPU: a small detector has hundreds of small tensors.

    Raises:
        ValueError: nothing to train.
    """
    trained = [p for p in parameters if p.requires_grad]
    lr, decay = settings.lr, settings.weight_decay
    if settings.name == "adamw":
        return torch.optim.AdamW(trained, lr=lr, weight_decay=decay, fused=True)
    return torch.optim.SGD(
        trained, lr=lr, momentum=settings.momentum, weight_decay=decay, fused=True
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr
