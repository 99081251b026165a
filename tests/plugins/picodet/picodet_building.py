"""PicoDet as its tests need it: put together without a manifest, and what is published of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.manifest.schema import Input
from harness.model.one_stage import OneStageDetector
from harness_plugins.picodet.csp_pan import CspPan
from harness_plugins.picodet.esnet import EsNet
from harness_plugins.picodet.head import pico_head
from harness_plugins.picodet.params import EsNetParams


@dataclass(frozen=True)
class Size:
    """One of the published three.

    Attributes:
        width: channels of neck and head.
        layers: of the head.
        parameters: millions.
        operations: side of the input -> 10^9, two of them a multiply-add.
    """

    backbone: EsNetParams
    width: int
    layers: int
    parameters: float
    operations: Mapping[int, float]


# M and L have the channels of S times 4 / 3 and 5 / 3, and other shares of them within units
WITHIN_M = (112, 64, 128, 160, 128, 192, 160, 160, 128, 160, 512, 320, 384)
WITHIN_L = (144, 80, 160, 200, 160, 240, 200, 200, 160, 200, 640, 400, 480)
SIZES = {
    "s": Size(EsNetParams(), 96, 2, 0.99, {320: 0.73, 416: 1.24}),
    "m": Size(
        EsNetParams(channels=(128, 256, 512), hidden=WITHIN_M),
        128, 4, 2.15, {320: 1.48, 416: 2.50},
    ),
    "l": Size(
        EsNetParams(channels=(160, 320, 640), hidden=WITHIN_L),
        160, 4, 3.30, {320: 2.23, 416: 3.76, 640: 8.91},
    ),
}  # fmt: skip


def build(side: int, classes: int = 80, size: str = "s", **head: Any) -> OneStageDetector:
    """With fresh weights."""
    model, sides = SIZES[size], (side, side)
    backbone = EsNet(**model.backbone.model_dump())
    neck = CspPan(backbone.out_features, model.width)
    settings = {"layers": model.layers, **head}
    dense_head = pico_head(neck.out_features, num_classes=classes, image_size=sides, **settings)
    return OneStageDetector(
        backbone=backbone,
        neck=neck,
        dense_head=dense_head,
        classes=tuple(f"class {i}" for i in range(classes)),
        given=Input(size=sides),
    )
