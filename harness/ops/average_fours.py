"""Means of 2x2 neighbours with stride 1, of channels-last maps."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.ops.registration import LIBRARY, register

SCHEMA = "average_fours(Tensor maps, bool framed) -> Tensor"


def average_fours(maps: Tensor, framed: bool = False) -> Tensor:
    """What `avg_pool2d(maps, 2, stride=1)` gives.

    On a GPU torch's pool of channels-last maps, and its gradient, take several times as long as
    reading and writing them.

    Args:
        maps: (B, C, H, W); those that are not channels-last are copied.
        framed: with a row and a column of zeros on every side.

    Returns:
        (B, C, H - 1, W - 1), or with a frame (B, C, H + 1, W + 1), channels last.

    Raises:
        ValueError: another shape, or maps of one row or column without a frame.
    """
    if maps.ndim != 4 or not (framed or min(maps.shape[2:]) > 1):
        raise ValueError(f"maps must be (B, C, 2 or more, 2 or more), not {tuple(maps.shape)}")
    own = maps if _is_last(maps) else maps.contiguous(memory_format=torch.channels_last)
    result: Tensor = torch.ops.harness.average_fours(own, framed)
    return result


def _is_last(maps: Tensor) -> bool:
    return maps.stride(1) == 1


def average_fours_reference(maps: Tensor, framed: bool) -> Tensor:
    """`harness::average_fours` by torch's pool."""
    own = F.pad(maps, (1, 1, 1, 1)) if framed else maps
    pooled = F.avg_pool2d(own, 2, stride=1)
    # the strides of channels-last maps, also if a side is 1
    return pooled.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def _fake(maps: Tensor, framed: bool) -> Tensor:
    batch, channels, height, width = maps.shape
    more = 1 if framed else -1
    cells = maps.new_empty((batch, height + more, width + more, channels))
    return cells.permute(0, 3, 1, 2)


def _setup_context(ctx: Any, inputs: tuple[Tensor, bool], output: Tensor) -> None:
    ctx.framed = inputs[1]


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    return average_fours(gradient, not ctx.framed), None


register(SCHEMA, average_fours_reference, _fake)
torch.library.register_autograd(
    "harness::average_fours", _backward, setup_context=_setup_context, lib=LIBRARY
)
