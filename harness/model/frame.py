"""Between image pixels and network pixels."""

from torch import Tensor

from harness.data.batch import Inputs


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
