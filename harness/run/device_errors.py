"""CUDA's errors on devices that cannot be used, as one line with a hint."""

import re

import torch

from harness.errors import UserError
from harness.plan.cells import Cell

CPU = "--device cpu"
UPDATE = "update the driver, or install a torch for an older CUDA"
# pattern of CUDA's or torch's own message -> (what is wrong, hint)
UNUSABLE = {
    "driver on your system is too old|driver version is insufficient": (
        "the NVIDIA driver is older than torch's CUDA {cuda} needs",
        UPDATE,
    ),
    "unsupported display driver / cuda driver combination": (
        "the NVIDIA driver does not fit torch's CUDA {cuda}",
        UPDATE,
    ),
    "Found no NVIDIA driver": ("there is no NVIDIA driver", CPU),
    "No CUDA GPUs are available|no CUDA-capable device": ("there is no GPU that CUDA may use", CPU),
    "not compiled with CUDA": ("this torch is built without CUDA", CPU),
    "system not yet initialized": (
        "CUDA is not initialised on this machine",
        "check that NVIDIA's fabric manager runs",
    ),
    "busy or unavailable": ("the GPU is held by another process", "another device, or wait for it"),
    "invalid device ordinal": ("the device does not exist", "harness doctor lists those that do"),
    "no kernel image is available": (
        "the GPU's architecture is not among those that this code was compiled for",
        f"install a torch built for it, or {CPU}",
    ),
}
OUT_OF_MEMORY = (
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "can't allocate memory",
)
SIZE = r"([\d.]+ (?:[KMGT]iB|bytes))"


def name_problem(error: BaseException) -> tuple[str, str] | None:
    """(what is wrong, hint) of an error that says a device cannot be used at all, else None."""
    for pattern, (found, hint) in UNUSABLE.items():
        if re.search(pattern, str(error), re.IGNORECASE):
            return found.format(cuda=torch.version.cuda), hint
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device had too little memory, whichever library noticed."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(part in str(error) for part in OUT_OF_MEMORY)


def explain_device_error(error: BaseException, cell: Cell, batch_size: int | None) -> str | None:
    """The line of a cell that failed by its device; None for any other error.

    Args:
        batch_size: images at once, None where the stage takes one.
    """
    if is_out_of_memory(error):
        return _out_of_memory(str(error), cell, batch_size)
    problem = name_problem(error)
    return None if problem is None else f"{problem[0]} ({problem[1]})"


def _out_of_memory(text: str, cell: Cell, batch_size: int | None) -> str:
    batch = f"a batch of {batch_size}" if batch_size else "one image"
    key = "latency.batch_size" if cell.stage == "latency" else "evaluate.batch_size"
    if cell.stage == "train":
        key = f"detectors.{cell.detector}.train.batch_size"
    hint = f"a smaller batch: --set {key}={max(1, (batch_size or 1) // 2)}"
    if (batch_size or 1) == 1:
        hint = "a smaller input, or a device with more memory"
    return f"out of memory with {batch}{_sizes(text)} ({hint})"


def _sizes(text: str) -> str:
    """What was needed beside what was in use, and what the device has; "" where unknown."""

    def find(pattern: str) -> str:
        found = re.search(pattern, text)
        return found[1] if found else ""

    needed = find(rf"[Tt]ried to allocate {SIZE}")
    used = find(rf"{SIZE} is allocated by PyTorch")
    there = find(rf"total capacity of {SIZE}")
    free = find(rf"of which {SIZE} is free")
    parts = [
        needed and f"{needed} more needed" + (f" beside {used} in use" if used else ""),
        there and f"the device has {there}" + (f", {free} of it free" if free else ""),
    ]
    return "".join(f"{mark}{part}" for mark, part in zip((": ", "; "), parts, strict=True) if part)


def check_cuda(device: torch.device) -> None:
    """Use a CUDA device for the first time: whatever is wrong with it is found here.

    Raises:
        UserError: no such device, or torch cannot use it.
    """
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            have = f"this machine has {count} CUDA device{'s' * (count != 1)}"
            last = f", cuda:0 to cuda:{count - 1}" if count > 1 else ", cuda:0" if count else ""
            raise UserError(f"'{device}' does not exist: {have}{last}", where="--device", hint=CPU)
        torch.zeros(1, device=device).add_(1).item()
    except (RuntimeError, AssertionError) as error:
        found, hint = name_problem(error) or (str(error).strip().partition("\n")[0][:300], CPU)
        raise UserError(
            f"'{device}' cannot be used: {found}", where="--device", hint=hint
        ) from error
