"""ThunderNet's parts: SNet, its neck and its RPN with attention (arXiv 1903.11752)."""

from harness.plugin.declarations import Backbone, Neck, Recipe, Rpn
from harness.plugin.hookspecs import hookimpl
from harness_plugins.thundernet.params import SNetParams, ThunderCemParams, ThunderRpnParams

_HERE = "harness_plugins.thundernet"


@hookimpl
def harness_backbones() -> list[Backbone]:
    summary = "SNet49, 146 or 535: ShuffleNetV2 with 5x5 convolutions, strides 16 and 32"
    return [Backbone("snet", f"{_HERE}.snet:SNet", SNetParams, summary)]


@hookimpl
def harness_necks() -> list[Neck]:
    summary = "Context enhancement: strides 16 and 32 and the whole image in one map"
    return [Neck("thunder_cem", f"{_HERE}.cem:ThunderCem", ThunderCemParams, summary)]


@hookimpl
def harness_rpns() -> list[Rpn]:
    summary = "RPN of one 5x5 separable convolution, which attends to what is pooled"
    return [Rpn("thunder_rpn", f"{_HERE}.rpn:thunder_rpn", ThunderRpnParams, summary)]


@hookimpl
def harness_recipes() -> list[Recipe]:
    return [
        Recipe(
            "thundernet",
            f"{_HERE}.recipe:published",
            summary="ThunderNet's; from ImageNet weights of the backbone, which are not part of it",
            of=("rpn", "thunder_rpn"),
            source="arXiv 1903.11752, section 4.1",
        )
    ]
