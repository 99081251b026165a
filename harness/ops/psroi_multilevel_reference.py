"""Position-sensitive RoI-align over a pyramid in plain PyTorch: every map pools all boxes, and each
box keeps what its own map gave. It defines the op; the kernels are tested with it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.ops.boxes import assign_levels, make_rois
from harness.ops.psroi_reference import psroi_align_backward_reference, psroi_align_reference


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
    """`harness::psroi_align_multilevel`: output, and int32 indices (empty for the mean)."""
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
    """`harness::psroi_align_multilevel_backward`: a gradient a map, in the dtype of the boxes.

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
    """(B, channels, *size) in the dtype of the boxes, in the memory format that is asked for."""
    if channels_last:
        return boxes.new_empty((boxes.shape[0], *size, channels)).permute(0, 3, 1, 2)
    return boxes.new_empty((boxes.shape[0], channels, *size))
