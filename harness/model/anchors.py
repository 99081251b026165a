"""Anchors: boxes of a few shapes at every cell of a map, xyxy with exclusive corners."""

from collections.abc import Sequence

import torch
from torch import Tensor


def centered_anchors(sides: Sequence[float], ratios: Sequence[float]) -> Tensor:
    """Anchors around the origin, all sides of the first ratio first: (ratios * sides, 4).

    Args:
        sides: pixels of a square anchor; others have the same area.
        ratios: height / width.
    """
    roots = torch.tensor(ratios).sqrt()[:, None]
    squares = torch.tensor(sides, dtype=torch.float32)
    halves = torch.stack([squares / roots, squares * roots], -1).view(-1, 2) / 2
    return torch.cat([-halves, halves], 1)


def grid_anchors(size: tuple[int, int], stride: int, base: Tensor) -> Tensor:
    """`base`, those of the cell at the origin, at every cell: (height * width * A, 4), row by row.

    Args:
        size: (height, width) of the map.
        stride: of the map, in pixels.
    """
    rows, columns = (torch.arange(count) * stride for count in size)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    shifts = torch.stack([x, y, x, y], -1).reshape(-1, 1, 4)
    return (shifts + base).reshape(-1, 4)


def check_size(image_size: tuple[int, int], size: tuple[int, int]) -> None:
    """Raises ValueError where anchors that lie on images of `image_size` are asked of others."""
    if tuple(size) != tuple(image_size):
        raise ValueError(f"anchors are for images of {tuple(image_size)}, not {tuple(size)}")


def check_maps(
    image_size: tuple[int, int], sizes: Sequence[tuple[int, int]], features: Sequence[Tensor]
) -> None:
    """Raises ValueError where maps are not of the (height, width) that the anchors are laid on."""
    if [tuple(x.shape[-2:]) for x in features] != [tuple(size) for size in sizes]:
        raise ValueError(f"anchors are for images of {tuple(image_size)}, features are not")
