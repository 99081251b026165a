"""The auxiliary branch of NanoDet-Plus, which in training assigns points for both heads."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harness.errors import UserError
from harness.model.distribution_head import init_head, init_scores
from harness.model.features import FeatureSpec, describe_specs
from harness_plugins.nanodet.blocks import activation

GROUPS = 32  # of group norm


class ConvGroupNorm(nn.Module):
    """3x3 convolution, group norm, activation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.gn = nn.GroupNorm(GROUPS, channels)
        self.act = activation()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.gn(self.conv(x)))
        return out


class Scale(nn.Module):
    """A learned factor."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class AuxiliaryHead(nn.Module):
    """A head shared over levels, with convolutions of their own for classes and boxes.

    Args:
        neck_features: the neck's maps; it is given each beside the auxiliary neck's.
        num_classes: without background.
        bins: of a distance's distribution.
        layers: of either kind.

    Raises:
        UserError: the maps differ in width, or twice that does not fall into groups.
    """

    def __init__(
        self, neck_features: Sequence[FeatureSpec], num_classes: int, bins: int, layers: int = 4
    ) -> None:
        super().__init__()
        width = 2 * neck_features[0].channels
        if len({f.channels for f in neck_features}) > 1 or width % GROUPS:
            raise UserError(
                f"the auxiliary head is given {describe_specs(neck_features)}",
                hint=f"it takes maps of one width, a multiple of {GROUPS // 2}",
            )
        self.cls_convs = nn.Sequential(*(ConvGroupNorm(width) for _ in range(layers)))
        self.reg_convs = nn.Sequential(*(ConvGroupNorm(width) for _ in range(layers)))
        self.gfl_cls = nn.Conv2d(width, num_classes, 3, padding=1)
        self.gfl_reg = nn.Conv2d(width, 4 * bins, 3, padding=1)
        self.scales = nn.ModuleList(Scale() for _ in neck_features)
        init_head(self)
        init_scores(self.gfl_cls)
        assert self.gfl_reg.bias is not None
        nn.init.zeros_(self.gfl_reg.bias)

    def forward(self, features: list[Tensor]) -> Tensor:
        """(B, N, C + 4 * bins) logits at all points, classes first."""
        rows = []
        for scale, x in zip(self.scales, features, strict=True):
            classes = self.gfl_cls(self.cls_convs(x))
            sides = scale(self.gfl_reg(self.reg_convs(x)))
            rows.append(torch.cat([classes, sides], 1).permute(0, 2, 3, 1).flatten(1, 2))
        return torch.cat(rows, 1)
