"""Precisions: which of them a device supports, and how a detector runs in one."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from harness.data.batch import Inputs

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
# of processors that multiply these, by torch's names
CAPABILITIES: Mapping[str, tuple[str, ...]] = {
    "bfloat16": ("avx512_bf16", "amx_bf16", "bf16"),
    "float16": ("avx512_fp16", "amx_fp16", "fp16_arith"),
}
TF32_SINCE = (8, 0)  # compute capability
WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
Function = Callable[[Inputs], Any]


def lacking(precision: str, device: torch.device) -> str | None:
    """Why a device cannot compute in a precision, None where it can."""
    if precision == "float32":
        return None
    if device.type == "cuda":
        old = precision != "float16" and torch.cuda.get_device_capability(device) < TF32_SINCE
        return f"{precision} needs a GPU of compute capability 8.0 or newer" if old else None
    if precision == "tf32":
        return "tf32 needs an NVIDIA GPU of compute capability 8.0 or newer"
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if any(known.get(name) for name in CAPABILITIES[precision]):
        return None
    return f"this processor has no {precision} arithmetic"


def cast_weights(module: nn.Module, dtype: torch.dtype) -> None:
    """Weights of convolutions and products in `dtype`; norms, anchors and the rest stay."""
    for part in module.modules():
        if isinstance(part, WEIGHTED):
            part.to(dtype)


def autocast(function: Function, device: torch.device, dtype: torch.dtype) -> Function:
    """`function` under autocast, as a training in that precision runs it."""

    def run(inputs: Inputs) -> Any:
        with torch.autocast(device.type, dtype):
            return function(inputs)

    return run
