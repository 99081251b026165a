"""Bilinear resizing of bytes with the arithmetic of OpenCV's `INTER_LINEAR`, on any device."""

from typing import NamedTuple

import torch
from torch import Tensor

from harness.ops.registration import register

SCHEMA = "resize_bilinear(Tensor image, SymInt height, SymInt width, bool interleaved) -> Tensor"
ONE = 2048  # weights have 11 bits


def resize_bilinear(image: Tensor, size: tuple[int, int], interleaved: bool = False) -> Tensor:
    """Resize without antialiasing to what `cv2.resize` gives, bit for bit.

    Args:
        image: (C, h, w) uint8, of any strides.
        size: (height, width) of the result.
        interleaved: the result is laid out as (height, width, C), not as (C, height, width).

    Returns:
        (C, height, width) uint8.

    Raises:
        ValueError: Another shape or dtype, or a side of 0.
    """
    if image.ndim != 3 or image.dtype != torch.uint8:
        raise ValueError(f"image must be (C, h, w) uint8, not {tuple(image.shape)} {image.dtype}")
    if not image.numel() or min(size) < 1:
        raise ValueError(f"sizes must be positive, not {tuple(image.shape)} and {tuple(size)}")
    resized: Tensor = torch.ops.harness.resize_bilinear(image, *size, interleaved)
    return resized


class Taps(NamedTuple):
    """The two rows or columns around each one of the result, and their weights.

    All (n,): the indices int64, the weights int32.
    """

    first: Tensor
    second: Tensor
    first_weight: Tensor
    second_weight: Tensor


def find_taps(old: int, new: int, device: torch.device, whole_at_edge: bool) -> Taps:
    """Taps of one side.

    OpenCV computes positions in float64 and rounds them to float32, which shows in the weights; so
    they are computed here, on the CPU, and not on a device that may lack float64.

    Args:
        old, new: length of the side before and after.
        whole_at_edge: beyond the centres of the outer pixels the nearest one has the whole weight,
            as with OpenCV's columns; its rows keep two weights there.
    """
    scale = 1.0 / (new / old)
    positions = ((torch.arange(new, dtype=torch.float64) + 0.5) * scale - 0.5).float()
    first = positions.floor()
    fraction = positions - first
    if whole_at_edge:
        fraction[(first < 0) | (first >= old - 1)] = 0
        first.clamp_(0, old - 1)
    indices = [(first.long() + k).clamp(0, old - 1) for k in (0, 1)]
    weights = [(share * ONE).round().int() for share in (1 - fraction, fraction)]
    return Taps(*(x.to(device, non_blocking=True) for x in (*indices, *weights)))


def resize_bilinear_reference(image: Tensor, height: int, width: int, interleaved: bool) -> Tensor:
    """`harness::resize_bilinear` in PyTorch's integers."""
    old = tuple(image.shape[1:])
    halved = old == (2 * height, 2 * width)
    result = _average_fours(image) if halved else _interpolate(image, height, width)
    pixels = result.to(torch.uint8)
    if interleaved:
        return pixels.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    return pixels.contiguous()


def _average_fours(image: Tensor) -> Tensor:
    """What OpenCV does if both sides are halved exactly: the mean, rounded once."""
    wide = image.int()
    rows = wide[:, ::2] + wide[:, 1::2]
    return (rows[..., ::2] + rows[..., 1::2] + 2) >> 2


def _interpolate(image: Tensor, height: int, width: int) -> Tensor:
    columns = find_taps(image.shape[2], width, image.device, whole_at_edge=True)
    rows = find_taps(image.shape[1], height, image.device, whole_at_edge=False)
    wide = image.int()
    blended = wide[..., columns.first] * columns.first_weight
    # a row has 19 bits, of which the upper 15 go on into lanes of 16
    blended = (blended + wide[..., columns.second] * columns.second_weight) >> 4
    above = (blended[:, rows.first] * rows.first_weight[:, None]) >> 16
    below = (blended[:, rows.second] * rows.second_weight[:, None]) >> 16
    return (above + below + 2) >> 2


def _fake(image: Tensor, height: int, width: int, interleaved: bool) -> Tensor:
    if interleaved:
        return image.new_empty((height, width, image.shape[0])).permute(2, 0, 1)
    return image.new_empty((image.shape[0], height, width))


register(SCHEMA, resize_bilinear_reference, _fake)
