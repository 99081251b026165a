"""The state in which a detector is measured, and what every measurement says of it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from harness.model.arithmetic import arithmetic
from harness.model.detector import Detector
from harness.modes.runner import Runner
from harness.ops import implementation
from harness.plan.cells import USUAL_PRECISION
from harness.records.measurement import Measurement


@contextmanager
def evaluating(module: nn.Module, precision: str = USUAL_PRECISION) -> Iterator[None]:
    """Evaluation mode without gradients, with the flags of a precision; afterwards as before."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad(), arithmetic(precision):
            yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def threads(number: int | None) -> Iterator[None]:
    """The requested number of threads within one operator, afterwards as before."""
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def synchronize(device: torch.device) -> None:
    """Wait for an accelerator; a CPU has nothing to wait for."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def with_place(measured: Iterable[Measurement], detector: Detector) -> list[Measurement]:
    """The measurements with device, ops, and how the detector takes images and picks boxes.

    What a meter itself says of its measurement stands before what is said here.
    """
    device = detector.device
    place = {
        "device_type": device.type,
        "ops": implementation(device),
        "precision": _weights_dtype(detector),
        "classes": len(detector.classes),
        "input": dict(detector.resize.describe()),
        **detector.selection,
    }
    return [replace(m, conditions={**place, **m.conditions}) for m in measured]


def with_runner(measured: Iterable[Measurement], runner: Runner) -> list[Measurement]:
    """`with_place`, and in which mode and precision the detector ran."""
    ways: dict[str, Any] = {"mode": runner.mode, **runner.conditions}
    if runner.precision != USUAL_PRECISION:
        ways["precision"] = runner.precision
    return with_place(
        (replace(m, conditions={**ways, **m.conditions}) for m in measured), runner.detector
    )


def _weights_dtype(detector: Detector) -> str:
    """What float32 arithmetic computes in; TF32 is off wherever this is recorded."""
    return str(next(detector.parameters()).dtype).removeprefix("torch.")
