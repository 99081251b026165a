"""torchvision's published weights: getting them, and fitting them to other classes."""

import pickle
from typing import Any

import torch
from torch import nn

from harness.errors import UserError


def fetch_weights(weights: Any) -> None:
    """Download a member of a torchvision weights enum into torch's cache, unless it is there.

    Raises:
        UserError: it can be neither read nor downloaded, or holds more than tensors.
    """
    try:
        weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"the pretrained weights {weights} cannot be obtained: {reason}",
            hint=f"check the network, put {weights.url} into {torch.hub.get_dir()}/checkpoints, "
            "or leave 'pretrained' out",
        ) from error


def kept_columns(weights: Any, num_classes: int) -> list[int] | None:
    """Which of the published columns, background first, serve `num_classes`; None for none."""
    categories = weights.meta["categories"]
    real = [0, *(i for i, name in enumerate(categories) if i and name != "N/A")]
    for columns in (real, list(range(len(categories)))):
        if len(columns) == num_classes + 1:
            return columns
    return None


@torch.no_grad()
def narrow_outputs(layer: nn.Linear | nn.Conv2d, rows: list[int]) -> None:
    """Keep those output rows of a layer, in that order."""
    layer.weight = nn.Parameter(layer.weight[rows])
    if layer.bias is not None:
        layer.bias = nn.Parameter(layer.bias[rows])
    if isinstance(layer, nn.Linear):
        layer.out_features = len(rows)
    else:
        layer.out_channels = len(rows)
