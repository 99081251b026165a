"""Compiled ops with a PyTorch reference each. Importing this imports torch and loads the ops."""

from harness.ops.library import Status, implementation, status
from harness.ops.nms import nms_padded
from harness.ops.psroi import psroi_align
from harness.ops.psroi_multilevel import psroi_align_multilevel
from harness.ops.resize import resize_bilinear
from harness.ops.soft_nms import soft_nms_padded

__all__ = [
    "Status",
    "implementation",
    "nms_padded",
    "psroi_align",
    "psroi_align_multilevel",
    "resize_bilinear",
    "soft_nms_padded",
    "status",
]
