"""Which map of a pyramid a box is pooled from."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from harness.errors import UserError
from harness.model.features import FeatureSpec


def assign_levels(boxes: Tensor, finest: float, count: int) -> Tensor:
    """(..., 4) xyxy -> (...) float index of the map, 0 to `count` - 1.

    The rule of FPN (https://arxiv.org/abs/1612.03144, equation 1): boxes of side `finest` and
    less go to map 0, each doubling of the side goes one map up.
    """
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    return torch.floor(torch.log2(sides.prod(-1).sqrt() / finest + 1e-6)).clamp(0, count - 1)


def split_rois(boxes: Tensor, finest: float, count: int, inclusive: bool) -> list[Tensor]:
    """(B, P, 4) -> for each map (B * P, 5): batch index and span of each box.

    Boxes that belong to another map have the batch index -1, which pools to zero: so nothing has
    to be counted, sorted or waited for, and the maps' results add up to the whole.
    """
    levels = assign_levels(boxes, finest, count)[..., None]
    images = torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype)[:, None, None]
    low, high = boxes.split(2, -1)
    spans = torch.cat([low, high - 1 if inclusive else high], -1)
    return [
        torch.cat([torch.where(levels == level, images, -1), spans], -1).flatten(0, 1)
        for level in range(count)
    ]


def find_strides(part: str, features: Sequence[FeatureSpec], strides: Sequence[int]) -> list[int]:
    """Positions of the maps with these strides.

    Raises:
        UserError: there is none with one of them.
    """
    known = [feature.stride for feature in features]
    for stride in strides:
        if stride not in known:
            given = ", ".join(str(feature) for feature in features)
            raise UserError(
                f"{part} wants a map of stride {stride} but is given {given}",
                mend=f"choose strides from {', '.join(map(str, known))}",
            )
    return [known.index(stride) for stride in strides]


def require_doubling(part: str, strides: Sequence[int]) -> None:
    """Raises UserError where a map is not twice as coarse as the one before."""
    if any(b != 2 * a for a, b in pairwise(strides)):
        raise UserError(
            f"{part} has strides {', '.join(map(str, strides))}",
            mend="each must be twice the one before",
        )
