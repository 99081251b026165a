"""YOLOX as its tests need it: from the shipped suite."""

from pathlib import Path
from typing import Any

import harness

SUITE = Path(__file__).parents[3] / "suites" / "yolox.yaml"
SIDE = 416
# a network of a few thousand weights
TINY = (
    "detectors.*.backbone.params.width=0.0625",
    "detectors.*.dense_head.params.hidden=8",
    "detectors.*.input.size=64",
)


def build_yolox(name: str, classes: int = 80, overrides: tuple[str, ...] = ()) -> Any:
    """yolox_nano or yolox_tiny in eval mode."""
    return harness.build(SUITE, name, classes=classes, overrides=overrides)
