"""From a mode's name to a runner."""

from typing import Any

import torch

from harness.errors import UserError, near_names
from harness.manifest.schema import PRECISIONS
from harness.model.detector import Detector
from harness.modes.runner import Calibration, Runner, Runtime
from harness.plugin.declarations import Mode
from harness.plugin.manager import loaded_plugins


def find_mode(name: str) -> Mode:
    """The declaration of a mode.

    Raises:
        UserError: no plugin declares it.
    """
    registry = loaded_plugins()
    known = registry.names("mode")
    if name not in known:
        raise UserError(f"there is no mode '{name}'", hint=near_names(name, list(known)))
    found = registry.get("mode", name).declaration
    assert isinstance(found, Mode)
    return found


def build_runner(
    detector: Detector,
    mode: str = "eager",
    precision: str = "float32",
    calibration: Calibration | None = None,
) -> Runner:
    """Make a detector run in a mode and a precision, on the device that it is on.

    Args:
        detector: in evaluation mode; it is not changed.
        mode: of a declaration, see `harness list mode`.
        precision: a name of `harness.manifest.schema.PRECISIONS`.
        calibration: for a mode that is quantised; others have no use for it.

    Raises:
        UserError: the device does not have the mode or the precision, see `unavailable`; a
            calibration is missing.
    """
    reason = unavailable(mode, precision, detector.device)
    if reason is not None:
        raise UserError(f"{mode} in {precision} cannot run: {reason}")
    runtime: Any = _runtime(mode)
    if not find_mode(mode).quantized:
        made: Runner = runtime.build(detector, precision)
        return made
    if calibration is None:
        raise UserError(f"{mode} needs images to choose its scales by")
    made = runtime.build(detector, precision, calibration=calibration)
    return made


def unavailable(mode: str, precision: str, device: torch.device) -> str | None:
    """Why a device cannot run a mode in a precision, None where it can.

    Raises:
        UserError: there is no such mode or precision.
    """
    runtime = _runtime(mode)
    if precision not in PRECISIONS:
        hint = near_names(precision, list(PRECISIONS))
        raise UserError(f"there is no precision '{precision}'", hint=hint)
    return runtime.lacking(precision, device)


def _runtime(mode: str) -> Runtime:
    made: Any = find_mode(mode).load()()
    runtime: Runtime = made
    return runtime
