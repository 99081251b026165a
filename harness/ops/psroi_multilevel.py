"""Position-sensitive RoI-align over all maps of a pyramid at once.

Each box is pooled from the map that its size belongs to (FPN, https://arxiv.org/abs/1612.03144,
equation 1), as `psroi_align` pools it there. One launch finds the maps and pools, without sorting
boxes and without the host knowing how many boxes each map has.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.ops.boxes import assign_levels, make_rois
from harness.ops.psroi_reference import (
    accumulate_dtype,
    psroi_align_backward_reference,
    psroi_align_reference,
)
from harness.ops.registration import LIBRARY, register

MOST_LEVELS = 8  # passed to kernels by value; the same in csrc
MOST_POINTS = 2**15  # per side: positions in a cell's grid are int32

SCHEMA = (
    "psroi_align_multilevel(Tensor[] maps, Tensor boxes, int[] strides, float finest_scale, "
    "bool inclusive, int pooled_height, int pooled_width, int output_channels, "
    "int sampling_ratio, str reduce) -> (Tensor, Tensor)"
)
BACKWARD_SCHEMA = (
    "psroi_align_multilevel_backward(Tensor grad_output, Tensor boxes, Tensor argmax, "
    "SymInt[] map_sizes, int[] strides, float finest_scale, bool inclusive, int sampling_ratio, "
    "str reduce, bool channels_last) -> Tensor[]"
)


def psroi_align_multilevel(
    maps: Sequence[Tensor],
    boxes: Tensor,
    strides: Sequence[int],
    finest_scale: float,
    pooled_size: int | tuple[int, int],
    output_channels: int,
    sampling_ratio: int = 2,
    reduce: str = "max",
    inclusive: bool = False,
) -> Tensor:
    """Pools each box from one of 1 to 8 maps; see `psroi_align` for what a box reads there.

    Args:
        maps: (B, output_channels * PH * PW, H, W) each, finest first, any memory format.
        boxes: (B, P, 4) xyxy in image pixels, exclusive corners. Gets no gradient.
        strides: of the maps.
        finest_scale: boxes of this side in pixels and below go to the finest map; each doubling
            goes one map up (`boxes.assign_levels`).
        pooled_size: PH and PW, or one number for both.
        sampling_ratio: points per side of a cell; 0 or less: as many as map pixels.
        reduce: `max`, whose gradient goes to the first maximum alone, or `mean`.
        inclusive: a box spans from its first to its last pixel, one less than its width; its level
            is that of its width all the same.

    Returns:
        (B * P, output_channels, PH, PW) in the dtype of the maps. Zero, without gradient, for boxes
        without area (padding) and where `psroi_align` pools to zero.

    Raises:
        ValueError: Shapes that do not fit, or an unknown `reduce`.
    """
    height, width = (pooled_size, pooled_size) if isinstance(pooled_size, int) else pooled_size
    _check_maps(maps, boxes, strides, output_channels * height * width)
    if reduce not in ("max", "mean"):
        raise ValueError(f"reduce is 'max' or 'mean', not {reduce!r}")
    if min(height, width, output_channels) < 1 or sampling_ratio > MOST_POINTS:
        sizes = f"{output_channels} x {height} x {width} with {sampling_ratio} points"
        raise ValueError(f"sizes and points per side must be in range, not {sizes}")
    output: Tensor = torch.ops.harness.psroi_align_multilevel(
        list(maps),
        boxes.detach().to(accumulate_dtype(maps[0].dtype)),
        list(strides),
        finest_scale,
        inclusive,
        height,
        width,
        output_channels,
        sampling_ratio,
        reduce,
    )[0]
    return output


def _check_maps(
    maps: Sequence[Tensor], boxes: Tensor, strides: Sequence[int], channels: int
) -> None:
    if not 1 <= len(maps) <= MOST_LEVELS or len(maps) != len(strides) or min(strides) < 1:
        given = f"{len(maps)} maps with strides {list(strides)}"
        raise ValueError(f"one to {MOST_LEVELS} maps need a positive stride each, not {given}")
    if boxes.ndim != 3 or boxes.shape[2] != 4:
        raise ValueError(f"boxes must be (B, P, 4), not {tuple(boxes.shape)}")
    for x in maps:
        if x.ndim != 4 or x.shape[0] != boxes.shape[0] or x.shape[1] != channels:
            expected = f"({boxes.shape[0]}, {channels}, H, W)"
            raise ValueError(f"maps must be {expected}, not {tuple(x.shape)}")
        if not x.shape[2] or not x.shape[3]:
            raise ValueError(f"a map is empty: {tuple(x.shape)}")
        if x.dtype != maps[0].dtype:
            raise ValueError(f"maps must be of one dtype, not {maps[0].dtype} and {x.dtype}")


@dataclass(frozen=True)
class Share:
    """The boxes of one map."""

    level: int
    scale: float
    mine: Tensor  # (B * P, 1, 1, 1) bool
    rois: Tensor  # (B * P, 5), the batch index of boxes of other maps -1


def share_boxes(
    boxes: Tensor, strides: Sequence[int], finest_scale: float, inclusive: bool
) -> Iterator[Share]:
    rois = make_rois(boxes, inclusive)
    levels = assign_levels(boxes, finest_scale, len(strides)).flatten()
    for level, stride in enumerate(strides):
        mine = levels == level
        images = torch.where(mine, rois[:, 0], -1)
        own = torch.cat([images[:, None], rois[:, 1:]], 1)
        yield Share(level, 1 / stride, mine[:, None, None, None], own)


def psroi_align_multilevel_reference(
    maps: Sequence[Tensor],
    boxes: Tensor,
    strides: Sequence[int],
    finest_scale: float,
    inclusive: bool,
    pooled_height: int,
    pooled_width: int,
    output_channels: int,
    sampling_ratio: int,
    reduce: str,
) -> tuple[Tensor, Tensor]:
    """`harness::psroi_align_multilevel`: output, and int32 indices (empty for the mean).

    Every map pools all boxes, and each box keeps the result of its own map.
    """
    size = (boxes.shape[0] * boxes.shape[1], output_channels, pooled_height, pooled_width)
    rows = 0 if reduce == "mean" else size[0]
    output = maps[0].new_zeros(size)
    argmax = maps[0].new_full((rows, *size[1:]), -1, dtype=torch.int32)
    for share in share_boxes(boxes, strides, finest_scale, inclusive):
        pooled, index = psroi_align_reference(
            maps[share.level],
            share.rois,
            share.scale,
            pooled_height,
            pooled_width,
            output_channels,
            sampling_ratio,
            reduce,
        )
        output = torch.where(share.mine, pooled, output)
        if reduce != "mean":
            argmax = torch.where(share.mine, index.int(), argmax)
    return output, argmax


def psroi_align_multilevel_backward_reference(
    grad_output: Tensor,
    boxes: Tensor,
    argmax: Tensor,
    map_sizes: Sequence[int],
    strides: Sequence[int],
    finest_scale: float,
    inclusive: bool,
    sampling_ratio: int,
    reduce: str,
    channels_last: bool = False,
) -> list[Tensor]:
    """`harness::psroi_align_multilevel_backward`: one gradient per map, in the dtype of the boxes.

    `map_sizes` are height and width, map by map.
    """
    channels = grad_output.shape[1] * grad_output.shape[2] * grad_output.shape[3]
    gradients = []
    for share in share_boxes(boxes, strides, finest_scale, inclusive):
        height, width = map_sizes[2 * share.level : 2 * share.level + 2]
        gradient = psroi_align_backward_reference(
            grad_output,
            share.rois,
            argmax.long(),
            [boxes.shape[0], channels, height, width],
            share.scale,
            sampling_ratio,
            reduce,
        )
        result = empty_map(boxes, channels, (height, width), channels_last)
        gradients.append(result.copy_(gradient))
    return gradients


def empty_map(boxes: Tensor, channels: int, size: tuple[int, int], channels_last: bool) -> Tensor:
    """(B, channels, *size) in the dtype of the boxes, in the requested memory format."""
    if channels_last:
        return boxes.new_empty((boxes.shape[0], *size, channels)).permute(0, 3, 1, 2)
    return boxes.new_empty((boxes.shape[0], channels, *size))


def _fake(maps: list[Tensor], boxes: Tensor, *rule: Any) -> tuple[Tensor, Tensor]:
    *_, height, width, channels, _ratio, reduce = rule
    size = (boxes.shape[0] * boxes.shape[1], channels, height, width)
    rows = 0 if reduce == "mean" else size[0]
    argmax = maps[0].new_empty((rows, *size[1:]), dtype=torch.int32)
    return maps[0].new_empty(size), argmax


def _backward_fake(
    grad_output: Tensor, boxes: Tensor, argmax: Tensor, map_sizes: list[int], *rule: Any
) -> list[Tensor]:
    channels = grad_output.shape[1] * grad_output.shape[2] * grad_output.shape[3]
    return [
        empty_map(boxes, channels, size, channels_last=rule[-1])
        for size in zip(map_sizes[::2], map_sizes[1::2], strict=True)
    ]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    maps, boxes, ctx.strides, ctx.finest_scale, ctx.inclusive, _, _, _, ratio, reduce = inputs
    ctx.save_for_backward(boxes, output[1])
    ctx.sampling_ratio, ctx.reduce = ratio, reduce
    ctx.map_sizes = [size for x in maps for size in x.shape[2:]]
    ctx.dtype = maps[0].dtype
    # otherwise the convolution before would have to convert the gradient
    ctx.channels_last = maps[0].stride(1) == 1 and maps[0].shape[1] > 1


def _backward(ctx: Any, grad_output: Tensor, _: Tensor) -> tuple[list[Tensor] | None, ...]:
    boxes, argmax = ctx.saved_tensors
    backward: Callable[..., list[Tensor]] = torch.ops.harness.psroi_align_multilevel_backward
    if grad_output.is_cuda and torch.are_deterministic_algorithms_enabled():
        backward = psroi_align_multilevel_backward_reference  # the kernel's order varies
    gradients = backward(
        grad_output,
        boxes,
        argmax,
        ctx.map_sizes,
        ctx.strides,
        ctx.finest_scale,
        ctx.inclusive,
        ctx.sampling_ratio,
        ctx.reduce,
        ctx.channels_last,
    )
    return ([gradient.to(ctx.dtype) for gradient in gradients], *[None] * 9)


register(SCHEMA, psroi_align_multilevel_reference, _fake)
register(BACKWARD_SCHEMA, psroi_align_multilevel_backward_reference, _backward_fake)
torch.library.register_autograd(
    "harness::psroi_align_multilevel", _backward, setup_context=_setup_context, lib=LIBRARY
)
