"""Which map of a pyramid a box is pooled from."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from harness.errors import UserError
from harness.model.features import FeatureSpec


def assign_levels(boxes: Tensor, finest: float, count: int) -> Tensor:
    """(..., 4) xyxy -> (...) int64 index of the map, 0 to `count` - 1; -1 for boxes without area.

    The rule of FPN (https://arxiv.org/abs/1612.03144, equation 1): boxes of side `finest` and
    less go to map 0, each doubling of the side goes one map up. Padding has no area.
    """
    areas = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)
    levels = torch.floor(torch.log2(areas.sqrt() / finest + 1e-6)).clamp(0, count - 1)
    return torch.where(areas > 0, levels, -1).long()


def make_rois(boxes: Tensor, inclusive: bool) -> Tensor:
    """(B, P, 4) -> (B * P, 5): index of the image and span of each box."""
    images = torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype)
    low, high = boxes.split(2, -1)
    spans = [images[:, None, None].expand(-1, boxes.shape[1], 1), low]
    return torch.cat([*spans, high - 1 if inclusive else high], -1).flatten(0, 1)


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
