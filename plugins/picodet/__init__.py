"""PicoDet's parts, as of 2021: ESNet, CSP-PAN and its head (arXiv 2111.00902)."""

from harness.plugin.declarations import Backbone, DenseHead, Neck, Recipe
from harness.plugin.hookspecs import hookimpl
from harness_plugins.picodet.params import CspPanParams, EsNetParams, PicoHeadParams

_HERE = "harness_plugins.picodet"


@hookimpl
def harness_backbones() -> list[Backbone]:
    summary = "ESNet: ShuffleNetV2 with squeeze and excitation, strides 8 to 32"
    return [Backbone("esnet", f"{_HERE}.esnet:EsNet", EsNetParams, summary)]


@hookimpl
def harness_necks() -> list[Neck]:
    summary = "Path aggregation by CSP layers, one level more than it is given"
    return [Neck("csp_pan", f"{_HERE}.csp_pan:CspPan", CspPanParams, summary)]


@hookimpl
def harness_dense_heads() -> list[DenseHead]:
    summary = "Varifocal class scores and distributions of distances, SimOTA, NMS"
    return [DenseHead("pico_head", f"{_HERE}.head:pico_head", PicoHeadParams, summary)]


@hookimpl
def harness_recipes() -> list[Recipe]:
    return [
        Recipe(
            "picodet",
            f"{_HERE}.recipe:published",
            summary="PicoDet-S's; without its random crop, changing sizes and ImageNet weights",
            of=("dense_head", "pico_head"),
            source="arXiv 2111.00902 and PaddleDetection's configs/picodet/legacy_model",
        )
    ]
