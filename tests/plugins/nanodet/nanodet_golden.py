"""NanoDet-Plus-m as its tests need it: put together without a manifest."""

from typing import Any

import numpy as np
from rival_golden import RivalGolden
from torch import Tensor

from harness.data.batch import Inputs
from harness.manifest.schema import Input
from harness.model.one_stage import OneStageDetector
from harness_plugins.nanodet.ghost_pan import GhostPan
from harness_plugins.nanodet.head import nanodet_head
from harness_plugins.nanodet.shufflenet import ShuffleNetV2


def build(side: int, num_classes: int = 80, channels: int = 96, **head: Any) -> OneStageDetector:
    """NanoDet-Plus-m with fresh weights."""
    backbone = ShuffleNetV2()
    neck = GhostPan(backbone.out_features, channels)
    size = (side, side)
    dense_head = nanodet_head(neck.out_features, num_classes=num_classes, image_size=size, **head)
    return OneStageDetector(
        backbone=backbone,
        neck=neck,
        dense_head=dense_head,
        classes=tuple(f"class {i}" for i in range(num_classes)),
        given=Input(size=size, resize="squash_from_corner", channels="bgr"),
        auxiliary=dense_head.make_auxiliary(backbone.out_features, neck),
    )


def side_of(golden: RivalGolden) -> int:
    return int(golden.model.rpartition("_")[2])


def golden_detector(golden: RivalGolden, **settings: Any) -> OneStageDetector:
    """With the weights of the figures, in evaluation mode."""
    detector = build(side_of(golden), **settings)
    golden.load_weights(detector)
    return detector.eval()


def golden_inputs(golden: RivalGolden, detector: OneStageDetector, *keys: str) -> Inputs:
    """Prepared images of the network's size."""
    side = side_of(golden)
    return detector.preprocess([golden.image(key, side, side) for key in keys])


def check_values(name: str, found: Tensor, stored: np.ndarray) -> None:
    """Within a thousandth of the largest."""
    error = np.abs(found.detach().numpy() - stored).max()
    assert error <= 1e-3 * np.abs(stored).max(), (name, error)
