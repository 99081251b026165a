"""YOLOX's parts: CSPDarknet, its PAFPN and the decoupled head (arXiv 2107.08430)."""

from harness.plugin.declarations import Backbone, DenseHead, Neck, Recipe
from harness.plugin.hookspecs import hookimpl
from harness_plugins.yolox.params import CspDarknetParams, YoloxHeadParams, YoloxPafpnParams

_HERE = "harness_plugins.yolox"


@hookimpl
def harness_backbones() -> list[Backbone]:
    summary = "CSPDarknet of YOLOX, strides 8 to 32; depthwise as in Nano"
    return [Backbone("csp_darknet", f"{_HERE}.backbone:csp_darknet", CspDarknetParams, summary)]


@hookimpl
def harness_necks() -> list[Neck]:
    summary = "Path aggregation over three maps, top-down and bottom-up"
    return [Neck("yolox_pafpn", f"{_HERE}.pafpn:yolox_pafpn", YoloxPafpnParams, summary)]


@hookimpl
def harness_dense_heads() -> list[DenseHead]:
    summary = "Decoupled anchor-free head, SimOTA, NMS"
    return [DenseHead("yolox_head", f"{_HERE}.head:yolox_head", YoloxHeadParams, summary)]


@hookimpl
def harness_recipes() -> list[Recipe]:
    return [
        Recipe(
            "yolox",
            f"{_HERE}.recipe:published",
            summary="YOLOX-Nano's and -Tiny's, without input sizes that change",
            of=("dense_head", "yolox_head"),
            source="arXiv 2107.08430 and its repository at 6ddff48",
            given={"l1": "last"},
        )
    ]
