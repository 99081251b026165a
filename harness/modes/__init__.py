"""Inference modes: the same detector, run in another way, with the same detections."""

from harness.modes.build import build_runner, unavailable
from harness.modes.runner import Runner

__all__ = ["Runner", "build_runner", "unavailable"]
