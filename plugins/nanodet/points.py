"""Points of the maps, and boxes as distributions of distances from them.

Generalized focal loss, https://arxiv.org/abs/2006.04388, section 3.2: the distance to each side of
a box is the expectation of a distribution over bins 0 to `reg_max`, in strides.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harness.model.features import FeatureSpec


def grid_points(features: Sequence[FeatureSpec], image_size: tuple[int, int]) -> Tensor:
    """Every cell of every map: its top left corner, not its centre, and the stride of its map.

    Args:
        image_size: (height, width) of the network's input.

    Returns:
        (N, 3) float32 of x, y and stride; level after level, row by row in each.
    """
    found = []
    for stride in (feature.stride for feature in features):
        height, width = (-(-side // stride) for side in image_size)
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        cells = torch.stack([x * stride, y * stride, torch.full_like(x, stride)], -1)
        found.append(cells.flatten(0, 1))
    return torch.cat(found).float()


class Integral(nn.Module):
    """Logits of a distribution over bins -> its expectation."""

    project: Tensor

    def __init__(self, reg_max: int) -> None:
        super().__init__()
        self.register_buffer("project", torch.arange(reg_max + 1).float())

    def forward(self, logits: Tensor) -> Tensor:
        """(..., 4 * bins) -> (..., 4), in bins."""
        # not a product of matrices, which autocast would compute in 16 bits
        return (torch.unflatten(logits, -1, (4, -1)).softmax(-1) * self.project).sum(-1)


def boxes_of(points: Tensor, distances: Tensor) -> Tensor:
    """(N, 3) points and distances in strides, left, top, right, bottom -> (B, N, 4) xyxy."""
    low, high = torch.split(distances * points[:, 2:], 2, -1)
    return torch.cat([points[:, :2] - low, points[:, :2] + high], -1)


def distances_to(points: Tensor, boxes: Tensor) -> Tensor:
    """Inverse of `boxes_of`, negative where a point is outside."""
    low, high = torch.split(boxes, 2, -1)
    return torch.cat([points[:, :2] - low, high - points[:, :2]], -1) / points[:, 2:]
