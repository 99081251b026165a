"""Anchors as the published system lays them; see `boxes.py` for the convention."""

from collections.abc import Sequence

import torch
from torch import Tensor


def base_anchors(stride: int, scale: float, ratios: Sequence[float]) -> Tensor:
    """Anchors of the cell at the origin: (ratios, 4).

    Args:
        stride: of the map; the side of a square anchor is `scale` x `stride` pixels.
        ratios: height / width of each anchor.
    """
    root = torch.tensor(ratios).sqrt()
    widths, heights = stride * (1 / root) * scale, stride * root * scale
    center = 0.5 * (stride - 1)
    half_w, half_h = 0.5 * (widths - 1), 0.5 * (heights - 1)
    inclusive = [center - half_w, center - half_h, center + half_w, center + half_h]
    return torch.stack(inclusive, 1).round() + torch.tensor([0.0, 0.0, 1.0, 1.0])


def grid_anchors(size: tuple[int, int], stride: int, base: Tensor) -> Tensor:
    """`base` at every cell of a map of (height, width): (height * width * A, 4), row-major."""
    rows = torch.arange(size[0]) * stride
    columns = torch.arange(size[1]) * stride
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    shifts = torch.stack([x, y, x, y], -1).reshape(-1, 1, 4)
    return (shifts + base).reshape(-1, 4)


def anchors_inside(anchors: Tensor, image_size: tuple[int, int]) -> Tensor:
    """(N,) bool: wholly inside an image of (height, width)."""
    height, width = image_size
    low = (anchors[:, :2] >= 0).all(1)
    return low & (anchors[:, 2] <= width) & (anchors[:, 3] <= height)
