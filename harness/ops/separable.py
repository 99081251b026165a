"""Separable convolutions of several maps in one launch: depthwise 3x3, then grouped 1x1.

Inference only. TinyDet's neck and RPN consist of them (https://arxiv.org/abs/2304.03428, section
3.2); as two convolutions per map they are memory-bound, and each costs a launch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.ops.psroi_reference import accumulate_dtype
from harness.ops.registration import register

MOST_MAPS = 8  # passed to kernels by value; the same in csrc
BLOCK = 16  # least output channels per block, so that vector registers are full

SCHEMA = (
    "separable_conv(Tensor[] maps, Tensor[] depthwise, Tensor[] depthwise_bias, "
    "Tensor[] pointwise, Tensor[] pointwise_bias, int out_channels, bool relu) -> Tensor"
)


@dataclass(frozen=True)
class SeparableWeights:
    """Weights for one map, as the op reads them.

    Attributes:
        depthwise: (9, C), row by row.
        depthwise_bias, pointwise_bias: (C,).
        pointwise: (blocks, width, width), input by output channel. Block b reads and writes the
            channels from min(b * width, C - width); blocks of several groups are zero between them.
    """

    depthwise: Tensor
    depthwise_bias: Tensor
    pointwise: Tensor
    pointwise_bias: Tensor


def pack_separable(depthwise: nn.Conv2d, pointwise: nn.Conv2d) -> SeparableWeights:
    """Weights of a depthwise 3x3 and a grouped 1x1 convolution, copied.

    Raises:
        ValueError: other kernels, strides, paddings or groups.
    """
    channels = depthwise.in_channels
    if (
        (depthwise.groups, depthwise.out_channels, pointwise.in_channels, pointwise.out_channels)
        != (channels,) * 4
        or (depthwise.kernel_size, pointwise.kernel_size) != ((3, 3), (1, 1))
        or (depthwise.stride, pointwise.stride) != ((1, 1), (1, 1))
        or (depthwise.padding, pointwise.padding) != ((1, 1), (0, 0))
        or (depthwise.dilation, depthwise.padding_mode) != ((1, 1), "zeros")
    ):
        raise ValueError(f"not a separable 3x3 convolution: {depthwise}, {pointwise}")
    dtype = accumulate_dtype(depthwise.weight.dtype)
    return SeparableWeights(
        depthwise.weight.detach().to(dtype).view(channels, 9).t().contiguous(),
        _bias(depthwise, dtype),
        _pack_blocks(pointwise.weight.detach().to(dtype), pointwise.groups),
        _bias(pointwise, dtype),
    )


def _bias(conv: nn.Conv2d, dtype: torch.dtype) -> Tensor:
    zeros = conv.weight.new_zeros(conv.out_channels, dtype=dtype)
    return zeros if conv.bias is None else zeros + conv.bias.detach()


def _pack_blocks(weight: Tensor, groups: int) -> Tensor:
    """(C, C / groups, 1, 1) -> (blocks, width, width): as many groups as fill a block."""
    side = len(weight) // groups
    together = min(groups, -(-BLOCK // side))
    count = -(-groups // together)
    products = weight.view(groups, side, side).mT
    chosen = torch.cat([products[: (count - 1) * together], products[groups - together :]])
    diagonal = torch.eye(together, dtype=weight.dtype, device=weight.device)
    blocks = chosen.view(count, together, side, 1, side) * diagonal[:, None, :, None]
    return blocks.reshape(count, together * side, together * side)


def separable_conv(
    maps: Sequence[Tensor],
    weights: Sequence[SeparableWeights],
    out_channels: int | None = None,
    relu: bool = False,
) -> Tensor:
    """Depthwise 3x3 and grouped 1x1 convolution of 1 to 8 maps, each with its own weights.

    Args:
        maps: (B, C, H, W) each; those that are not channels-last are copied. Gets no gradient.
        weights: of each map, in float32 (float64 for maps of that): half types compute in float32.
        out_channels: C or more, padded with zeros, for consumers that need a multiple of 8.
            None: C.
        relu: whether a ReLU follows.

    Returns:
        (B, cells of all maps, out_channels) in the dtype of the maps: their cells one map after
        the other, row by row. `map_of_rows` turns a map's rows back. A number that is not finite
        may spread to all channels of its block.

    Raises:
        ValueError: numbers of maps, channels or images that do not fit.
    """
    channels = maps[0].shape[1] if maps else 0
    if not 1 <= len(maps) <= MOST_MAPS or len(maps) != len(weights):
        given = f"{len(maps)} maps with {len(weights)} weights"
        raise ValueError(f"one to {MOST_MAPS} maps need weights each, not {given}")
    if any(x.ndim != 4 or x.shape[:2] != maps[0].shape[:2] for x in maps):
        raise ValueError(f"maps must be (B, C, H, W), not {[tuple(x.shape) for x in maps]}")
    if any(w.depthwise.shape != (9, channels) for w in weights):
        raise ValueError(f"weights are not of {channels} channels")
    if out_channels is None:
        out_channels = channels
    if out_channels < channels:
        raise ValueError(f"out_channels must be {channels} or more, not {out_channels}")
    rows: Tensor = torch.ops.harness.separable_conv(
        [_channels_side_by_side(x.detach()) for x in maps],
        [w.depthwise for w in weights],
        [w.depthwise_bias for w in weights],
        [w.pointwise for w in weights],
        [w.pointwise_bias for w in weights],
        out_channels,
        relu,
    )
    return rows


def map_of_rows(rows: Tensor, first: int, size: tuple[int, int]) -> Tensor:
    """The map (B, C, H, W) whose rows (B, cells, C) begin at `first`: a view."""
    height, width = size
    own = rows[:, first : first + height * width]
    return own.view(len(rows), height, width, rows.shape[2]).permute(0, 3, 1, 2)


def _channels_side_by_side(x: Tensor) -> Tensor:
    return x if x.stride(1) == 1 else x.contiguous(memory_format=torch.channels_last)


def separable_conv_reference(
    maps: list[Tensor],
    depthwise: list[Tensor],
    depthwise_bias: list[Tensor],
    pointwise: list[Tensor],
    pointwise_bias: list[Tensor],
    out_channels: int,
    relu: bool,
) -> Tensor:
    """`harness::separable_conv`, as two convolutions per map."""
    rows = []
    columns = zip(maps, depthwise, depthwise_bias, pointwise, pointwise_bias, strict=True)
    with torch.autocast(maps[0].device.type, enabled=False):  # as the kernels, in float32
        for x, taps, first_bias, blocks, second_bias in columns:
            channels = x.shape[1]
            kernel = taps.t().reshape(channels, 1, 3, 3)
            middle = F.conv2d(x.to(taps.dtype), kernel, first_bias, padding=1, groups=channels)
            cells = middle.flatten(2).transpose(1, 2)
            found = cells @ _dense(blocks, channels) + second_bias
            rows.append(F.pad(found.relu() if relu else found, (0, out_channels - channels)))
    return torch.cat(rows, 1).to(maps[0].dtype).contiguous()


def _dense(blocks: Tensor, channels: int) -> Tensor:
    """(C, C), input by output channel; where blocks overlap they agree."""
    count, width, _ = blocks.shape
    dense = blocks.new_zeros(channels, channels)
    for b in range(count):
        first = min(b * width, channels - width)
        dense[:, first : first + width] = 0
        dense[first : first + width, first : first + width] = blocks[b]
    return dense


def _fake(maps: list[Tensor], *rest: Any) -> Tensor:
    *_, out_channels, _relu = rest
    cells = sum(x.shape[2] * x.shape[3] for x in maps)
    return maps[0].new_empty((maps[0].shape[0], cells, out_channels))


register(SCHEMA, separable_conv_reference, _fake)
