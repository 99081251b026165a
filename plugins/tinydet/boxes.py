"""Boxes and anchors of TinyDet, and the one place where its convention is explained.

The published system counts in inclusive pixels: a box (x1, y1, x2, y2) covers x2 - x1 + 1 columns.
With x2' = x2 + 1, y2' = y2 + 1 all of its "+1" arithmetic (width, area, IoU, encoding, decoding)
becomes the ordinary arithmetic of exclusive corners, which is what parts exchange. Inclusive
corners remain visible in four places only:

* anchors are rounded as inclusive corners, then moved by one (`base_anchors`);
* clipping keeps inclusive corners in [0, side - 1]: x1 in [0, side - 1], x2' in [1, side]
  (`clip_boxes`);
* RoI pooling reads the span from x1 to x2 = x2' - 1 (the RoI ops' `inclusive` parameter);
* scaling multiplies inclusive corners (`InclusiveFrame`).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from harness.data.batch import Inputs
from harness.model.types import BoxFrame, xyxy_scales
from harness.ops import boxes as ordinary

# The largest change of a side's logarithm.
MAX_LOG_RATIO = abs(math.log(16 / 1000))
# Pixels of a clipped box at least: inclusive corners at 0 or side - 1 span one.
LEAST_INSIDE = 1.0


class InclusiveFrame(BoxFrame):
    """Scales the inclusive corners of boxes that are given with exclusive ones."""

    def to_network(self, boxes: Tensor, inputs: Inputs) -> Tensor:
        low, high = torch.split(boxes, 2, -1)
        scale = xyxy_scales(inputs)[..., :2]
        limit = inputs.sizes.flip(-1)[:, None].to(boxes)
        high = torch.minimum((high - 1) * scale + 1, limit)  # inclusive corners end at side - 1
        return torch.cat([low * scale, high], -1)

    def to_image(self, boxes: Tensor, inputs: Inputs) -> Tensor:
        low, high = torch.split(boxes, 2, -1)
        scale = xyxy_scales(inputs)[..., :2]
        return torch.cat([low / scale, (high - 1) / scale + 1], -1)


def clip_boxes(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """(..., 4) into an image of (height, width) so that first and last pixel lie inside."""
    return ordinary.clip_boxes(boxes, image_size, LEAST_INSIDE)


def decode_boxes(deltas: Tensor, anchors: Tensor) -> Tensor:
    """The ordinary one, with the change of sides clamped to a factor of 62.5."""
    return ordinary.decode_boxes(deltas, anchors, MAX_LOG_RATIO)


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


def anchors_inside(anchors: Tensor, image_size: tuple[int, int]) -> Tensor:
    """(N,) bool: wholly inside an image of (height, width)."""
    height, width = image_size
    low = (anchors[:, :2] >= 0).all(1)
    return low & (anchors[:, 2] <= width) & (anchors[:, 3] <= height)
