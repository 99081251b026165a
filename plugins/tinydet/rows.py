"""The cells of all levels as rows (B, cells, C): level after level, and row by row in each."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.ops import map_of_rows


def join_rows(maps: Sequence[Tensor]) -> Tensor:
    """Maps (B, C, H, W) -> (B, cells of all maps + 1, C); the last row is zero."""
    rows = [x.permute(0, 2, 3, 1).flatten(1, 2) for x in maps]
    batch, _, channels = rows[0].shape
    return torch.cat([*rows, rows[0].new_zeros((batch, 1, channels))], 1)


def split_rows(rows: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
    """Rows (B, cells or more, C) of some maps' cells -> a map (B, C, H, W) each, views of them."""
    found, first = [], 0
    for x in maps:
        height, width = x.shape[-2:]
        found.append(map_of_rows(rows, first, (height, width)))
        first += height * width
    return found


def take_rows(rows: Tensor, indices: Tensor) -> Tensor:
    """(B, N, C) and (B, K) -> (B, K, C), whole rows at a time: gather takes number by number."""
    first = torch.arange(len(rows), device=rows.device)[:, None] * rows.shape[1]
    taken = rows.flatten(0, 1).index_select(0, (indices + first).flatten())
    return taken.view(*indices.shape, rows.shape[2])


def find_neighbours(sizes: Sequence[tuple[int, int]]) -> Tensor:
    """(cells, 9) int64: the 3x3 rows around each, the one behind all where the map has ended.

    Args:
        sizes: (height, width) of each level.
    """
    total, first, found = sum(h * w for h, w in sizes), 0, []
    for height, width in sizes:
        own = torch.arange(first, first + height * width).view(height, width)
        framed = F.pad(own, (1, 1, 1, 1), value=total)
        found.append(framed.unfold(0, 3, 1).unfold(1, 3, 1).reshape(-1, 9))
        first += height * width
    return torch.cat(found)
