"""Weighted bi-directional feature pyramid (arXiv 1911.09070, sections 3.2 and 3.3)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.model.features import FeatureSpec, require_pyramid

EPSILON = 1e-4


class BiFpn(nn.Module):
    """Maps of a pyramid, finest first, to as many of the same strides.

    Args:
        in_features: each with twice the stride of the one before; at least two.
        channels: of every map that it gives.
        layers: BiFPN layers, one after the other.
    """

    def __init__(self, in_features: Sequence[FeatureSpec], channels: int, layers: int) -> None:
        super().__init__()
        require_pyramid("bifpn", in_features)
        self.out_features = tuple(
            FeatureSpec(f"p{number}", channels, spec.stride)
            for number, spec in enumerate(in_features, start=3)
        )
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(f.channels, channels, 1, bias=False), nn.BatchNorm2d(channels))
            for f in in_features
        )
        levels = len(in_features)
        self.layers = nn.ModuleList(BiFpnLayer(levels, channels) for _ in range(layers))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        maps = [lateral(x) for lateral, x in zip(self.lateral, features, strict=True)]
        for layer in self.layers:
            maps = layer(maps)
        return maps


class BiFpnLayer(nn.Module):
    """Figure 2 (d): top-down, then bottom-up with an edge from the input of the same level."""

    def __init__(self, levels: int, channels: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(Fusion(2, channels) for _ in range(levels - 1))
        # the coarsest level has no node in between, so that its second sum has two terms
        terms = [3] * (levels - 2) + [2] * (levels > 1)
        self.up = nn.ModuleList(Fusion(count, channels) for count in terms)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        between = list(maps)
        for level in reversed(range(len(self.down))):
            coarser = F.interpolate(between[level + 1], size=maps[level].shape[-2:])
            between[level] = self.down[level](maps[level], coarser)
        made = between[:1]
        for level, fusion in enumerate(self.up, start=1):
            finer = F.max_pool2d(made[-1], kernel_size=3, stride=2, padding=1)
            is_coarsest = level == len(maps) - 1
            own = (maps[level],) if is_coarsest else (maps[level], between[level])
            made.append(fusion(*own, finer))
        return made


class Fusion(nn.Module):
    """Fast normalised fusion (section 3.3), then a depthwise separable convolution."""

    def __init__(self, terms: int, channels: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(terms))
        self.conv = nn.Sequential(
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, *maps: Tensor) -> Tensor:
        return self.conv(self.fuse(maps))

    def fuse(self, maps: Sequence[Tensor]) -> Tensor:
        """The mean of the maps, by weights that are not negative."""
        weights = self.weights.relu()
        shares = weights / (weights.sum() + EPSILON)
        return sum(share * x for share, x in zip(shares.unbind(), maps, strict=True))
