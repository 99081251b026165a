"""The state in which a detector is measured, and what every measurement says of it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from harness.model.detector import Detector
from harness.modes import Runner
from harness.ops import implementation
from harness.records.measurement import Measurement


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every submodule is as it was."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def threads(number: int | None) -> Iterator[None]:
    """The wanted number of threads within one operator, afterwards as before."""
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
        "precision": precision(detector),
        "classes": len(detector.classes),
        "input": dict(detector.resize.describe()),
        **detector.selection,
    }
    return [replace(m, conditions={**place, **m.conditions}) for m in measured]


def with_runner(measured: Iterable[Measurement], runner: Runner) -> list[Measurement]:
    """`with_place`, and in which mode and precision the detector ran."""
    detector = runner.detector
    # of float32 there is more to say, of what a mode computes in the mode says it
    computed = precision(detector) if runner.precision == "float32" else runner.precision
    ways = {"mode": runner.mode, "precision": computed, **runner.conditions}
    return with_place((replace(m, conditions={**ways, **m.conditions}) for m in measured), detector)


def precision(detector: Detector) -> str:
    """Dtype of the weights; on a GPU also whether float32 products may run as TF32."""
    name = str(next(detector.parameters()).dtype).removeprefix("torch.")
    if detector.device.type == "cuda" and name == "float32":
        tf32 = torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32
        return "float32, TF32 allowed" if tf32 else name
    return name
