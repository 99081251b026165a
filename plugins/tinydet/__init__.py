"""TinyDet's parts: two backbones, TinyFPN, TinyRPN and its box head (arXiv 2304.03428)."""

from harness.plugin.declarations import Backbone, BoxHead, Neck, NoParams, Recipe, Rpn
from harness.plugin.hookspecs import hookimpl
from harness_plugins.tinydet.params import TinyBoxHeadParams, TinyFpnParams, TinyRpnParams

_HERE = "harness_plugins.tinydet"


@hookimpl
def harness_backbones() -> list[Backbone]:
    return [
        Backbone(
            "mobilenetv3_bc",
            f"{_HERE}.backbones:mobilenetv3_bc",
            NoParams,
            "MobileNetV3-BC of TinyDet-M and -L, strides 4 to 64",
        ),
        Backbone(
            "mobilenetv3_d",
            f"{_HERE}.backbones:mobilenetv3_d",
            NoParams,
            "MobileNetV3-D of TinyDet-S, strides 8 to 64",
        ),
    ]


@hookimpl
def harness_necks() -> list[Neck]:
    summary = "Feature pyramid with sparsely connected fine levels"
    return [Neck("tiny_fpn", f"{_HERE}.fpn:TinyFpn", TinyFpnParams, summary)]


@hookimpl
def harness_rpns() -> list[Rpn]:
    summary = "RPN of one separable convolution, shared over levels"
    return [Rpn("tiny_rpn", f"{_HERE}.rpn:tiny_rpn", TinyRpnParams, summary)]


@hookimpl
def harness_box_heads() -> list[BoxHead]:
    summary = "One shared layer, class-agnostic boxes, hard examples, soft-NMS"
    target = f"{_HERE}.box_head:tiny_box_head"
    return [BoxHead("tiny_box_head", target, TinyBoxHeadParams, summary)]


@hookimpl
def harness_recipes() -> list[Recipe]:
    return [
        Recipe(
            "tinydet",
            f"{_HERE}.recipe:published",
            summary="TinyDet's; from ImageNet weights of the backbone, which are not part of it",
            of=("box_head", "tiny_box_head"),
            source="arXiv 2304.03428, section 4.1",
        )
    ]
