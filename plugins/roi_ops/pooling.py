"""Pools every proposal from its map of a pyramid."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from harness.model.features import FeatureSpec, RoiSpec
from harness_plugins.roi_ops import LevelParams
from harness_plugins.roi_ops.levels import find_strides, require_doubling


class PyramidPooling(nn.Module, ABC):
    """Base of the RoI ops: knows which of the neck's maps are pooled.

    Args:
        part: name for messages.
        in_features: all maps of the neck.
        params: which of them are pooled.

    Raises:
        UserError: a stride has no map, or the strides do not double.
    """

    out_feature: RoiSpec

    def __init__(self, part: str, in_features: Sequence[FeatureSpec], params: LevelParams) -> None:
        super().__init__()
        require_doubling(part, params.strides)
        self.positions = find_strides(part, in_features, params.strides)
        self.params = params

    def forward(self, features: list[Tensor], boxes: Tensor) -> Tensor:
        """Pool (B, P, 4) from the maps they belong to: (B * P, C, h, w); zeros without area."""
        return self.pool([features[position] for position in self.positions], boxes)

    @abstractmethod
    def pool(self, maps: list[Tensor], boxes: Tensor) -> Tensor:
        """As `forward`, from the pooled maps alone, finest first."""
