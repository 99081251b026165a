"""accelerate, set up for one training after another in the same process."""

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import set_seed

from harness.errors import UserError
from harness.manifest.schema import Train
from harness.modes.precision import lacking

MIXED = {"float32": "no", "tf32": "no", "float16": "fp16", "bfloat16": "bf16"}  # accelerate's


def start_accelerator(settings: Train, device: torch.device, seed: int) -> Accelerator:
    """An accelerator on `device` (the process's own GPU under torchrun), with seeds set.

    Each process of several gets a seed of its own, so that they sample differently.

    Raises:
        UserError: the device is not there, or cannot do the precision.
    """
    check_device(settings, device)
    # accelerate keeps one state a process and refuses a second training with other settings
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
        UserError: as for `start_accelerator`.
    """
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"cannot train on device '{device}'", mend="cpu or cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("no CUDA device found to train on", mend="--device cpu")
    where = "train.precision"
    if device.type == "cpu" and settings.precision == "float16":
        found = "float16 needs a GPU: its gradients are scaled there"
        raise UserError(found, where=where, mend="float32 or bfloat16 on a CPU")
    # on a CPU bfloat16 is slow at worst
    if device.type == "cuda" or settings.precision == "tf32":
        reason = lacking(settings.precision, device)
        if reason is not None:
            raise UserError(reason, where=where, mend="float32")
