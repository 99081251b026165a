"""16-bit floating point: which kind a device computes in, and a detector made to use it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from harness.data.batch import Inputs

CAPABILITIES = ("avx512_bf16", "amx_bf16", "bf16")  # of processors, by torch's names
WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def half_dtype(device: torch.device) -> torch.dtype | None:
    """float16 on a GPU, bfloat16 on a processor that multiplies it, else None."""
    if device.type != "cpu":
        return torch.float16
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return torch.bfloat16 if any(known.get(name) for name in CAPABILITIES) else None


def halve_weights(module: nn.Module, dtype: torch.dtype) -> None:
    """Weights of convolutions and products in `dtype`; norms, anchors and the rest stay."""
    for part in module.modules():
        if isinstance(part, WEIGHTED):
            part.to(dtype)


def in_precision(
    function: Callable[[Inputs], Any], device: torch.device, dtype: torch.dtype
) -> Callable[[Inputs], Any]:
    """`function` under autocast, as a training in that precision runs it."""

    def run(inputs: Inputs) -> Any:
        with torch.autocast(device.type, dtype):
            return function(inputs)

    return run
