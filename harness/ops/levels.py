"""Which map of a pyramid a box is pooled from."""

import torch
from torch import Tensor


def assign_levels(boxes: Tensor, finest: float, count: int) -> Tensor:
    """(..., 4) xyxy -> (...) int64 index of the map, 0 to `count` - 1; -1 for boxes without area.

    The rule of FPN (https://arxiv.org/abs/1612.03144, equation 1): boxes of side `finest` and
    less go to map 0, each doubling of the side goes one map up. Padding has no area.

    `floor(log2(sqrt(area) / finest + 1e-6))`, clamped, is counted without its logarithm: a box
    climbs to each map whose smallest area it has. The last bit of a logarithm, and so the level of
    a box on the boundary, would differ between devices and compilers; comparisons do not.
    """
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    areas = sides[..., 0] * sides[..., 1]
    levels = (areas > 0).long() - 1
    for level in range(1, count):
        least_side = (2.0**level - 1e-6) * finest
        levels = levels + (areas >= least_side * least_side).long()
    return torch.where(areas > 0, levels, -1)


def make_rois(boxes: Tensor, inclusive: bool) -> Tensor:
    """(B, P, 4) -> (B * P, 5): index of the image and span of each box.

    Args:
        boxes: xyxy with exclusive corners.
        inclusive: a box spans from its first to its last pixel, one less than its width.
    """
    images = torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype)
    low, high = boxes[..., :2], boxes[..., 2:]
    spans = [images[:, None, None].expand(-1, boxes.shape[1], 1), low]
    return torch.cat([*spans, high - 1 if inclusive else high], -1).flatten(0, 1)
