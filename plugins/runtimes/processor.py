"""What the processor has for runtimes."""

from collections.abc import Mapping
from typing import Any

import torch

VNNI = ("avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8")


def has_int8_products() -> bool:
    """Whether the processor multiplies 8-bit numbers faster than floats; true where unknown."""
    known: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if known.get("architecture") != "x86_64":
        return True
    return any(known.get(name) for name in VNNI)
