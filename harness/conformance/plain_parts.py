"""The plainest backbone and neck that there are, for heads to be tried out on."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from harness.model.features import FeatureSpec
from harness.plan.cells import Part
from harness.plugin.declarations import Backbone, Declaration, Neck, Params
from harness.plugin.registry import Entry, Provider


class FeaturesParams(Params):
    """`features`: the maps to give."""

    features: tuple[FeatureSpec, ...]


class PlainBackbone(nn.Module):
    """One strided convolution for each map."""

    def __init__(self, features: Sequence[FeatureSpec]) -> None:
        super().__init__()
        self.out_features = tuple(features)
        self.levels = nn.ModuleList(
            nn.Conv2d(3, f.channels, f.stride, f.stride) for f in self.out_features
        )

    def forward(self, pixels: Tensor) -> list[Tensor]:
        return [level(pixels) for level in self.levels]


class PlainNeck(nn.Module):
    """A 1x1 convolution on each map."""

    def __init__(self, in_features: Sequence[FeatureSpec], features: Sequence[FeatureSpec]) -> None:
        super().__init__()
        self.out_features = tuple(features)
        pairs = zip(in_features, self.out_features, strict=True)
        self.levels = nn.ModuleList(nn.Conv2d(a.channels, b.channels, 1) for a, b in pairs)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        return [level(x) for level, x in zip(self.levels, features, strict=True)]


_HERE = "harness.conformance.plain_parts"
BACKBONE = Backbone("plain", f"{_HERE}:PlainBackbone", FeaturesParams, "a convolution per map")
NECK = Neck("plain", f"{_HERE}:PlainNeck", FeaturesParams, "a 1x1 convolution per map")


def as_part(declaration: Declaration, params: Any) -> Part:
    """A part as a plan has it."""
    entry = Entry(declaration, Provider("harness.plugin.testing", "", ""))
    return Part(declaration.kind, entry, params)
