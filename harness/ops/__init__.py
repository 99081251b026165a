"""Compiled ops with a PyTorch reference each. Importing this imports torch and loads the ops."""

from harness.ops.average_fours import average_fours
from harness.ops.boxes import pairwise_ious
from harness.ops.library import Status, implementation, status
from harness.ops.nms import nms_padded
from harness.ops.psroi import psroi_align
from harness.ops.psroi_multilevel import psroi_align_multilevel
from harness.ops.resampled_ap import pack_weights, resampled_ap
from harness.ops.resize import resize_bilinear
from harness.ops.select_anchors import select_anchors
from harness.ops.select_boxes import select_boxes
from harness.ops.separable import (
    SeparableWeights,
    map_of_rows,
    pack_separable,
    separable_conv,
)
from harness.ops.soft_nms import soft_nms_padded

__all__ = [
    "SeparableWeights",
    "Status",
    "average_fours",
    "implementation",
    "map_of_rows",
    "nms_padded",
    "pack_separable",
    "pack_weights",
    "pairwise_ious",
    "psroi_align",
    "psroi_align_multilevel",
    "resampled_ap",
    "resize_bilinear",
    "select_anchors",
    "select_boxes",
    "separable_conv",
    "soft_nms_padded",
    "status",
]
