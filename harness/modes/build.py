"""From a mode's name to a runner."""

import torch

from harness.errors import UserError
from harness.model.detector import Detector
from harness.modes.runner import Runner


def build_runner(detector: Detector, mode: str) -> Runner:
    """Make a detector run in a mode, on the device that it is on.

    Args:
        detector: in evaluation mode; it is not changed.
        mode: a name of `harness.manifest.schema.MODES`.

    Raises:
        UserError: the device does not have the mode; see `unavailable`.
    """
    reason = unavailable(mode, detector.device)
    if reason is not None:
        raise UserError(f"the mode '{mode}' cannot run: {reason}")
    return Runner(
        detector,
        mode,
        "float32",
        network=detector.network,
        forward=detector.forward,
        detect_pixels=lambda inputs: detector.forward(detector.prepare(inputs)),
    )


def unavailable(mode: str, device: torch.device) -> str | None:
    """Why a device cannot run a mode, None where it can."""
    return None if mode == "eager" else "not yet written"
