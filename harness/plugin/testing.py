"""The conformance kit, for the tests of a plugin: one check for each kind of part."""

from harness.conformance.kit import check_backbone, check_neck, pyramid
from harness.conformance.nonconforming import NonconformingError

__all__ = [
    "NonconformingError",
    "check_backbone",
    "check_neck",
    "pyramid",
]
