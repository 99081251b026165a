"""The conformance kit, for the tests of a plugin: one check for each kind of part."""

from harness.conformance.examination import Verdict
from harness.conformance.kit import (
    check_architecture,
    check_augmentation,
    check_backbone,
    check_box_head,
    check_dense_head,
    check_detector,
    check_neck,
    check_roi_op,
    check_rpn,
    pyramid,
)
from harness.conformance.nonconforming import NonconformingError
from harness.conformance.standing_alone import check_images_stand_alone

__all__ = [
    "NonconformingError",
    "Verdict",
    "check_architecture",
    "check_augmentation",
    "check_backbone",
    "check_box_head",
    "check_dense_head",
    "check_detector",
    "check_images_stand_alone",
    "check_neck",
    "check_roi_op",
    "check_rpn",
    "pyramid",
]
