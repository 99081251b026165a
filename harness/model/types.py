"""What detectors and their parts return, batched and padded, and how boxes are scaled."""

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.data.batch import Inputs, TensorStruct


@dataclass(frozen=True)
class Detections(TensorStruct):
    """What a detector found. Rows from `counts[b]` on are padding (zeros), best score first.

    Attributes:
        boxes: (B, K, 4) float32 xyxy with exclusive corners, in pixels of each image as given.
        scores: (B, K) float32.
        labels: (B, K) int64, contiguous from 0.
        counts: (B,) int64.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    counts: Tensor


@dataclass(frozen=True)
class AnchorLevel:
    """The anchors (default boxes) of one feature map.

    Attributes:
        stride: network pixels from one cell to the next, from row to row if columns differ.
        boxes: (N, 4) xyxy with exclusive corners in network pixels, not clipped.
    """

    stride: float
    boxes: Tensor


@dataclass(frozen=True)
class Proposals(TensorStruct):
    """Candidate regions in network pixels. Rows from `counts[b]` on are padding (zeros).

    Attributes:
        boxes: (B, P, 4) xyxy with exclusive corners.
        scores: (B, P), objectness in [0, 1].
        counts: (B,) int64.
    """

    boxes: Tensor
    scores: Tensor
    counts: Tensor

    @property
    def valid(self) -> Tensor:
        """(B, P) bool, False on padding."""
        return torch.arange(self.boxes.shape[1], device=self.counts.device) < self.counts[:, None]


def xyxy_scales(inputs: Inputs) -> Tensor:
    """(B, 1, 4): network pixels per image pixel for x1, y1, x2, y2."""
    return inputs.scales.flip(-1).repeat(1, 2)[:, None]


class BoxFrame:
    """Scaling of boxes with exclusive corners. A family with another convention subclasses it."""

    def to_network(self, boxes: Tensor, inputs: Inputs) -> Tensor:
        """(B, N, 4) in image pixels -> network pixels."""
        return boxes * xyxy_scales(inputs)

    def to_image(self, boxes: Tensor, inputs: Inputs) -> Tensor:
        """(B, N, 4) in network pixels -> image pixels."""
        return boxes / xyxy_scales(inputs)
