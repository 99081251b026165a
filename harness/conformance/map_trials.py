"""Backbones and necks: parts that declare the feature maps that they give."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness.conformance.trial import Given, OnMapsTrial, Size, Trial, map_misfits
from harness.model.features import FeatureSpec


class MapTrial(Trial):
    """What backbones and necks have in common."""

    def misfits(self, part: Any, size: Size, made: Mapping[str, Tensor]) -> Iterator[str]:
        declared = getattr(part, "out_features", None)
        if not isinstance(declared, Sequence) or not all(
            isinstance(f, FeatureSpec) for f in declared
        ):
            yield "has no out_features, a tuple of FeatureSpec"
            return
        names = [f.name for f in declared]
        if len(set(names)) < len(names):
            yield f"two maps share a name: {', '.join(names)}"
        yield from map_misfits(declared, size, made)


class BackboneTrial(MapTrial):
    def build(self, size: Size) -> nn.Module:
        return self.make()

    def draw(self, size: Size, images: int, generator: torch.Generator) -> Given:
        return (torch.randn(images, 3, *size, generator=generator),)

    def run(self, part: Any, given: Given) -> Mapping[str, Tensor]:
        return name_maps(part, part(given[0]))

    def trained(self, given: Given) -> Given:
        return ()  # an image learns nothing


class NeckTrial(MapTrial, OnMapsTrial):
    def build(self, size: Size) -> nn.Module:
        return self.make(self.in_features)

    def run(self, part: Any, given: Given) -> Mapping[str, Tensor]:
        return name_maps(part, part(list(given)))


def name_maps(part: Any, maps: Any) -> Mapping[str, Tensor]:
    """Maps by the names that the part declares, or by number where it declares fewer."""
    if not isinstance(maps, list | tuple) or not all(isinstance(m, Tensor) for m in maps):
        raise TypeError(f"forward gives {type(maps).__name__}, not a list of tensors")
    declared = getattr(part, "out_features", ())
    named = declared if isinstance(declared, Sequence) else ()
    names = [str(getattr(feature, "name", None)) for feature in named]
    known = names if len(set(names)) == len(maps) else [f"map {i}" for i in range(len(maps))]
    return dict(zip(known, maps, strict=True))
