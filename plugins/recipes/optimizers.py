"""torch's and timm's optimisers over all weights of a model that are trained."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from harness.errors import UserError, near_names

NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


def sgd(
    model: nn.Module,
    *,
    capturable: bool,
    lr: float,
    momentum: float,
    weight_decay: float,
    no_decay: Sequence[str],
    nesterov: bool,
) -> torch.optim.Optimizer:
    """Target. The fused kernels matter on a CPU: small detectors have hundreds of small tensors."""
    made = torch.optim.SGD(
        _groups(model, weight_decay, no_decay),
        lr=lr, momentum=momentum, nesterov=nesterov, fused=True,
    )  # fmt: skip
    if momentum:
        # the fused kernel would leave them unset in a first step that overflows (float16)
        for group in made.param_groups:
            for p in group["params"]:
                made.state[p]["momentum_buffer"] = torch.zeros_like(p, requires_grad=False)
    return made


def adamw(
    model: nn.Module, *, capturable: bool, lr: float, weight_decay: float, no_decay: Sequence[str]
) -> torch.optim.Optimizer:
    """Target."""
    groups = _groups(model, weight_decay, no_decay)
    return torch.optim.AdamW(groups, lr=lr, fused=True, capturable=capturable)


def from_timm(
    model: nn.Module,
    *,
    opt: str,
    lr: float,
    momentum: float,
    weight_decay: float,
    no_decay: Sequence[str],
    options: dict[str, Any],
) -> torch.optim.Optimizer:
    """Target.

    Raises:
        UserError: timm has none of this name, or it does not take the options.
    """
    # timm has types, but does not say that this module offers these
    from timm.optim import (  # type: ignore[attr-defined]
        create_optimizer_v2,
        list_optimizers,
    )

    try:
        made: torch.optim.Optimizer = create_optimizer_v2(
            _groups(model, weight_decay, no_decay),
            opt, lr=lr, weight_decay=weight_decay, momentum=momentum, **options,
        )  # fmt: skip
    except ValueError as error:
        if opt.lower().rpartition("_")[2] in list_optimizers():
            raise
        hint = near_names(opt, [str(name) for name in list_optimizers()])
        raise UserError(f"timm has no optimiser '{opt}'", hint=hint) from error
    except TypeError as error:
        raise UserError(f"timm's '{opt}' refuses its options: {error}") from error
    return made


def _groups(model: nn.Module, decay: float, spared: Sequence[str]) -> list[dict[str, Any]]:
    """The weights that decay, and those that do not; a group without any is left out.

    Raises:
        ValueError: nothing is trained.
    """
    free = {id(weight) for weight in _spared(model, spared)}
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise ValueError("the model has no weights to train")
    groups = [
        {"params": [p for p in trained if id(p) not in free], "weight_decay": decay},
        {"params": [p for p in trained if id(p) in free], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _spared(model: nn.Module, spared: Sequence[str]) -> Iterator[nn.Parameter]:
    for module in model.modules():
        for name, weight in module.named_parameters(recurse=False):
            if ("norm" in spared and isinstance(module, NORMS)) or (
                "bias" in spared and name == "bias"
            ):
                yield weight
