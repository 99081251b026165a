"""TF32 on or off: the only place where the process's precision flags are set."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

CUDNN: Any = torch.backends.cudnn
MKLDNN: Any = torch.backends.mkldnn
# TF32 rounds the factors of a float32 product to 10 bits. By default torch allows it in
# convolutions, and each of these has a flag of its own.
OPERATIONS: Mapping[str, Any] = {
    "cudnn.conv": CUDNN.conv,
    "cudnn.rnn": CUDNN.rnn,
    "cuda.matmul": torch.backends.cuda.matmul,
    "mkldnn.conv": MKLDNN.conv,
    "mkldnn.rnn": MKLDNN.rnn,
    "mkldnn.matmul": MKLDNN.matmul,
}
Flags = Mapping[str, str]


@contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """Within it TF32 is on for "tf32" and off for every other precision.

    The flags are global, so everything that multiplies runs within one of these. They are restored
    afterwards.
    """
    before, flags = read_flags(), flags_of(precision)
    if before == flags:
        yield
        return
    matmul = _legacy_matmul(before)
    try:
        _set(flags, "high" if precision == "tf32" else "highest")
        yield
    finally:
        _set(before, matmul)


def flags_of(precision: str) -> Flags:
    """What `read_flags` gives inside `arithmetic(precision)`."""
    on = precision == "tf32"
    return {name: "tf32" if on and name.startswith("cu") else "ieee" for name in OPERATIONS}


def read_flags() -> Flags:
    """How each kind of operation multiplies: "ieee", "tf32", "bf16", or "none" for torch's own."""
    return {name: operation.fp32_precision for name, operation in OPERATIONS.items()}


def _set(flags: Flags, matmul: str) -> None:
    # The older flags raise wherever they are read once they disagree with these, and some of
    # torch's own modules do read them: so they are set as well, and first, since they set these.
    CUDNN.allow_tf32 = flags["cudnn.conv"] == "tf32"
    torch.set_float32_matmul_precision(matmul)
    for name, operation in OPERATIONS.items():
        operation.fp32_precision = flags[name]


def _legacy_matmul(flags: Flags) -> str:
    """The older flag of products, where it can be read."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # it disagreed with the newer ones before anything was done here
        return "high" if flags["cuda.matmul"] == "tf32" else "highest"
