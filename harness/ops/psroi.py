"""Position-sensitive RoI-align.

R-FCN, section 2 (https://arxiv.org/abs/1605.06409): each cell of the output reads its own input
channel. TinyDet (https://arxiv.org/abs/2304.03428): the cell is the maximum of bilinear reads.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from harness.ops.psroi_reference import (
    accumulate_dtype,
    psroi_align_backward_reference,
    psroi_align_reference,
)
from harness.ops.registration import LIBRARY, register

SCHEMA = (
    "psroi_align(Tensor features, Tensor rois, float spatial_scale, int pooled_height, "
    "int pooled_width, int output_channels, int sampling_ratio, str reduce) -> (Tensor, Tensor)"
)
BACKWARD_SCHEMA = (
    "psroi_align_backward(Tensor grad_output, Tensor rois, Tensor argmax, SymInt[] feature_shape, "
    "float spatial_scale, int sampling_ratio, str reduce) -> Tensor"
)


def psroi_align(
    features: Tensor,
    rois: Tensor,
    spatial_scale: float,
    pooled_size: int | tuple[int, int],
    output_channels: int,
    sampling_ratio: int = 2,
    reduce: str = "max",
) -> Tensor:
    """Pools RoIs so that output channel c, cell (i, j) reads channel (c * PH + i) * PW + j.

    Cells hold a grid of `sampling_ratio`² bilinear reads at the centres of equal sub-cells; 0 or
    less means ceil(side / pooled) per side. Without half-pixel shift; sides are at least 0.1 map
    pixels, and a read more than a pixel outside the map is 0.

    Args:
        features: (B, output_channels * PH * PW, H, W), any memory format.
        rois: (N, 5): batch index, x1, y1, x2, y2 in image pixels. Gets no gradient.
        spatial_scale: Map pixels per image pixel, 1 / stride.
        pooled_size: PH and PW, or one number for both.
        reduce: `max`, whose gradient goes to the first maximum alone, or `mean`.

    Returns:
        (N, output_channels, PH, PW) in the dtype of the features. Half types compute in float32.
        A RoI is zero, and gives no gradient, if a number in it is not finite, its batch index is
        not in [0, B), or it starts or extends further than 2**20 map pixels.

    Raises:
        ValueError: Shapes that do not fit, or an unknown `reduce`.
    """
    height, width = (pooled_size, pooled_size) if isinstance(pooled_size, int) else pooled_size
    _check(features, rois, height, width, output_channels, reduce)
    boxes = rois.detach().to(accumulate_dtype(features.dtype))
    output: Tensor = torch.ops.harness.psroi_align(
        features, boxes, spatial_scale, height, width, output_channels, sampling_ratio, reduce
    )[0]
    return output


def _check(
    features: Tensor, rois: Tensor, height: int, width: int, output_channels: int, reduce: str
) -> None:
    if reduce not in ("max", "mean"):
        raise ValueError(f"reduce is 'max' or 'mean', not {reduce!r}")
    if features.ndim != 4 or rois.ndim != 2 or rois.shape[1] != 5:
        shapes = f"{tuple(features.shape)} and {tuple(rois.shape)}"
        raise ValueError(f"features must be (B, C, H, W) and rois (N, 5), not {shapes}")
    if min(height, width, output_channels) < 1 or features.shape[1] != (
        output_channels * height * width
    ):
        expected = f"{output_channels} x {height} x {width}"
        raise ValueError(f"features need {expected} channels, not {features.shape[1]}")
    if not features.shape[2] or not features.shape[3]:
        raise ValueError(f"the feature map is empty: {tuple(features.shape)}")


def _fake(features: Tensor, rois: Tensor, _: float, *rest: Any) -> tuple[Tensor, Tensor]:
    height, width, channels, _ratio, reduce = rest
    size = (rois.shape[0], channels, height, width)
    argmax = features.new_empty((0 if reduce == "mean" else size[0], *size[1:]), dtype=torch.long)
    return features.new_empty(size), argmax


def _backward_fake(
    grad_output: Tensor, rois: Tensor, argmax: Tensor, feature_shape: list[int], *_: Any
) -> Tensor:
    return rois.new_empty(feature_shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    features, rois, ctx.spatial_scale, _, _, _, ctx.sampling_ratio, ctx.reduce = inputs
    ctx.save_for_backward(rois, output[1])
    ctx.feature_shape, ctx.dtype = features.shape, features.dtype


def _backward(ctx: Any, grad_output: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    rois, argmax = ctx.saved_tensors
    backward: Callable[..., Tensor] = torch.ops.harness.psroi_align_backward
    if grad_output.is_cuda and torch.are_deterministic_algorithms_enabled():
        backward = psroi_align_backward_reference  # the kernel's order varies
    gradient = backward(
        grad_output,
        rois,
        argmax,
        ctx.feature_shape,
        ctx.spatial_scale,
        ctx.sampling_ratio,
        ctx.reduce,
    )
    return (gradient.to(ctx.dtype), *[None] * 7)


register(SCHEMA, psroi_align_reference, _fake)
register(BACKWARD_SCHEMA, psroi_align_backward_reference, _backward_fake)
torch.library.register_autograd(
    "harness::psroi_align", _backward, setup_context=_setup_context, lib=LIBRARY
)
