"""NanoDet-Plus's parts: backbone, neck and head (https://github.com/RangiLyu/nanodet)."""

from harness.plugin.declarations import Backbone, DenseHead, Neck, Recipe
from harness.plugin.hookspecs import hookimpl
from harness_plugins.nanodet.params import GhostPanParams, NanoDetHeadParams, ShuffleNetParams

_HERE = "harness_plugins.nanodet"


@hookimpl
def harness_backbones() -> list[Backbone]:
    summary = "ShuffleNetV2, strides 8 to 32"
    return [
        Backbone("shufflenet_v2", f"{_HERE}.shufflenet:ShuffleNetV2", ShuffleNetParams, summary)
    ]


@hookimpl
def harness_necks() -> list[Neck]:
    summary = "Path aggregation by ghost bottlenecks, one level more than it is given"
    return [Neck("ghost_pan", f"{_HERE}.ghost_pan:GhostPan", GhostPanParams, summary)]


@hookimpl
def harness_dense_heads() -> list[DenseHead]:
    summary = "Class scores and distributions of distances, assigned by an auxiliary head"
    return [DenseHead("nanodet_head", f"{_HERE}.head:nanodet_head", NanoDetHeadParams, summary)]


@hookimpl
def harness_recipes() -> list[Recipe]:
    return [
        Recipe(
            "nanodet_plus",
            f"{_HERE}.recipe:published",
            summary="NanoDet-Plus-m's, but that boxes out of the image are dropped",
            of=("dense_head", "nanodet_head"),
            source="https://github.com/RangiLyu/nanodet at be9b4a9",
        )
    ]
