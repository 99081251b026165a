"""ThunderNet's anchors (arXiv 1903.11752, section 3.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor


def lay_anchors(
    size: tuple[int, int], stride: int, sides: Sequence[float], ratios: Sequence[float]
) -> Tensor:
    """Anchors of every cell of a map of (height, width): (height * width * A, 4), row by row.

    Those of a cell are centred on its upper left corner, as in the authors' program; the paper does
    not say where.

    Args:
        sides: pixels of a square anchor; others have the same area.
        ratios: height / width.
    """
    roots = torch.tensor(ratios).sqrt()[:, None]
    squares = torch.tensor(sides, dtype=torch.float32)
    halves = torch.stack([squares / roots, squares * roots], -1).view(-1, 2) / 2
    base = torch.cat([-halves, halves], 1)
    rows, columns = (torch.arange(count) * stride for count in size)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    centers = torch.stack([x, y, x, y], -1).reshape(-1, 1, 4)
    return (centers + base).reshape(-1, 4)
