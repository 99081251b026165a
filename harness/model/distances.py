"""Points of maps, and boxes as distributions of distances from them.

Generalized focal loss, https://arxiv.org/abs/2006.04388, section 3.2: the distance to each side of
a box is the expectation of a distribution over bins 0 to `reg_max`, in strides.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.model.features import FeatureSpec


def grid_points(
    features: Sequence[FeatureSpec], image_size: tuple[int, int], offset: float
) -> Tensor:
    """A point of every cell of every map, and the stride of its map.

    Args:
        image_size: (height, width) of the network's input.
        offset: from the cell's top left corner along both axes, in strides; 0.5 is its centre.

    Returns:
        (N, 3) float32 of x, y and stride; level after level, row by row in each.
    """
    found = []
    for stride in (feature.stride for feature in features):
        height, width = (-(-side // stride) for side in image_size)
        lines = [(torch.arange(side).float() + offset) * stride for side in (height, width)]
        y, x = torch.meshgrid(*lines, indexing="ij")
        found.append(torch.stack([x, y, torch.full_like(x, stride)], -1).flatten(0, 1))
    return torch.cat(found)


class Integral(nn.Module):
    """Logits of a distribution over bins -> its expectation."""

    project: Tensor

    def __init__(self, reg_max: int) -> None:
        super().__init__()
        self.register_buffer("project", torch.arange(reg_max + 1).float())

    def forward(self, logits: Tensor) -> Tensor:
        """(..., 4 * bins) -> (..., 4), in bins."""
        # not a product of matrices, which autocast would compute in 16 bits
        return (by_side(logits).softmax(-1) * self.project).sum(-1)


def by_side(logits: Tensor) -> Tensor:
    """(..., 4 * bins) -> (..., 4, bins)."""
    apart: Tensor = logits.unflatten(-1, (4, -1))  # type: ignore[no-untyped-call]
    return apart


def boxes_of(points: Tensor, distances: Tensor) -> Tensor:
    """(N, 3) points and distances in strides, left, top, right, bottom -> (B, N, 4) xyxy."""
    low, high = (distances * points[:, 2:]).split(2, -1)  # type: ignore[no-untyped-call]
    return torch.cat([points[:, :2] - low, points[:, :2] + high], -1)


def distances_to(points: Tensor, boxes: Tensor) -> Tensor:
    """Inverse of `boxes_of`, negative where a point is outside."""
    low, high = boxes.split(2, -1)  # type: ignore[no-untyped-call]
    return torch.cat([points[:, :2] - low, high - points[:, :2]], -1) / points[:, 2:]


def points_inside(points: Tensor, boxes: Tensor) -> Tensor:
    """Which of (N, 2 or more) points, x and y first, lie strictly inside which of (..., 4)
    boxes: (..., N) bool."""
    x, y = points[:, 0], points[:, 1]
    x1, y1, x2, y2 = boxes[..., None].unbind(-2)
    return (x > x1) & (y > y1) & (x < x2) & (y < y2)


def distribution_focal_losses(logits: Tensor, distances: Tensor) -> Tensor:
    """Cross-entropy to the two bins around a distance, each weighted by how near it is.

    Args:
        logits: (..., 4 * bins).
        distances: (..., 4) in bins, from 0 and below the last.

    Returns:
        (..., 4), for each side.
    """
    logarithms = F.log_softmax(by_side(logits), -1)
    lower = distances.floor()
    bins = lower.long()[..., None]
    near, far = (logarithms.gather(-1, bins + i)[..., 0] for i in (0, 1))
    return -(near * (lower + 1 - distances) + far * (distances - lower))
