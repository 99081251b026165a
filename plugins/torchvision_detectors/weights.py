"""Models with torchvision's published weights: getting them, and fitting them to other classes."""

import pickle
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torchvision.models import MobileNet_V3_Large_Weights

from harness.errors import UserError


def build_model(
    build: Callable[..., Any],
    published: Any,
    num_classes: int,
    pretrained: bool,
    pretrained_backbone: bool,
    **thresholds: Any,
) -> Any:
    """A model of torchvision's with fresh weights, or with published ones for COCO's classes.

    Raises:
        UserError: weights were asked for and cannot be obtained.
    """
    if pretrained:
        fetch_weights(published)
        return build(weights=published, **thresholds)
    backbone = MobileNet_V3_Large_Weights.IMAGENET1K_V1 if pretrained_backbone else None
    if backbone is not None:
        fetch_weights(backbone)
    return build(weights=None, weights_backbone=backbone, num_classes=num_classes + 1, **thresholds)


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
    """Which published columns, background first, fit `num_classes`; None if none do."""
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
