"""What a training runs on: devices, processes, the way of its steps, and signals to stop."""

import signal
import threading
import time
from dataclasses import dataclass
from types import FrameType
from typing import Any, Self

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import set_seed

from harness.errors import UserError
from harness.manifest.schema import Train
from harness.modes.precision import lacking

CAUGHT = (signal.SIGTERM, signal.SIGINT)
ECHO_SECONDS = 1.0
MIXED = {"float32": "no", "tf32": "no", "float16": "fp16", "bfloat16": "bf16"}  # accelerate's


@dataclass(frozen=True)
class Way:
    """How steps are taken.

    Attributes:
        compiled: the losses and their gradient, by torch.compile.
        captured: all of a step, in a CUDA graph.
        reason: why it is not captured, where it would be.
    """

    compiled: bool
    captured: bool
    reason: str | None = None

    @property
    def name(self) -> str:
        return "compiled" if self.compiled else "captured" if self.captured else "eager"


def choose_way(
    settings: Train, device: torch.device, processes: int, capturable: bool = True
) -> Way:
    """How `train.step` is carried out on a device.

    Args:
        capturable: whether the optimiser's step may be captured.

    Raises:
        UserError: several processes, or the optimiser, cannot take steps this way.
    """
    compiled = settings.step == "compiled"
    if settings.step == "eager" or device.type != "cuda":
        return Way(compiled, captured=False)
    if processes == 1 and capturable:
        return Way(compiled, captured=True)
    exchange = f"{processes} processes exchange gradients within a step, which cannot be captured"
    computes = f"the optimiser '{settings.optimizer.name}' computes on the host"
    if settings.step == "captured":
        raise UserError(
            exchange if processes > 1 else computes,
            where="train.step",
            hint="auto, eager or compiled",
        )
    reason = f"{processes} processes" if processes > 1 else computes
    return Way(compiled, captured=False, reason=reason)


def start_accelerator(settings: Train, device: torch.device, seed: int) -> Accelerator:
    """An accelerator on `device` (the process's own GPU under torchrun), with seeds set.

    Each process of several gets a seed of its own, so that they sample differently.

    Args:
        device: that `check_device` has passed.
    """
    # accelerate keeps one state per process and refuses a second training with other settings
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=MIXED[settings.precision],
        gradient_accumulation_steps=settings.accumulate,
    )
    set_seed(seed, device_specific=True)
    return accelerator


def check_device(settings: Train, device: torch.device) -> None:
    """Find out before any work what would fail later.

    Raises:
        UserError: the device is not there, or does not support the precision or the way of steps.
    """
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"cannot train on device '{device}'", hint="cpu or cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("no CUDA device found to train on", hint="--device cpu")
    where = "train.precision"
    if device.type == "cpu" and settings.precision == "float16":
        found = "float16 needs a GPU: its gradients are scaled there"
        raise UserError(found, where=where, hint="float32 or bfloat16 on a CPU")
    # on a CPU bfloat16 is slow at worst
    if device.type == "cuda" or settings.precision == "tf32":
        reason = lacking(settings.precision, device)
        if reason is not None:
            raise UserError(reason, where=where, hint="float32")
    if device.type == "cpu" and settings.step == "captured":
        raise UserError(
            "CUDA graphs need an NVIDIA GPU",
            where="train.step",
            hint="auto, eager or compiled on a CPU",
        )


class StopRequest:
    """While entered, the first SIGTERM or SIGINT is only noted in `signum`, as a wish to stop.

    A later one goes to the handlers from before, so an impatient Ctrl-C still works;
    one within `ECHO_SECONDS` is the same request again, forwarded by torchrun or a shell.
    Outside the main thread Python allows no handlers, and none are set.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._noted_at = 0.0
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = {s: signal.signal(s, self._note) for s in CAUGHT}
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        self._previous = {}

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is None:
            self.signum, self._noted_at = signum, time.monotonic()
        elif time.monotonic() - self._noted_at > ECHO_SECONDS:
            self.__exit__()
            signal.raise_signal(signum)
