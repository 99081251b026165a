"""`torch.library.opcheck` for the ops of its own that a part calls."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from harness.conformance.nonconforming import tell
from harness.conformance.trial import Given, Trial

TORCHS = {"aten", "prim", "prims", "profiler", "inductor", "torchvision"}  # tested by their owners


class CallsOfOps(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's is untyped
    """While it is entered, keeps the arguments of the first call of each op that is not torch's."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: dict[Any, tuple[Any, Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace not in TORCHS:
            self.calls.setdefault(func, (args, kwargs or {}))
        return func(*args, **(kwargs or {}))


def op_misfits(trial: Trial, part: Any, given: Given) -> Iterator[str]:
    """What opcheck finds wrong: schema, fake kernel, autograd, dynamic shapes."""
    with torch.no_grad(), CallsOfOps() as recorded:
        trial.run(part, given)
    for op, (args, kwargs) in recorded.calls.items():
        checked = torch.library.opcheck(
            op, tuple(map(_leaf, args)) if trial.ops_learn else args, kwargs, raise_exception=False
        )
        for test, outcome in checked.items():
            if isinstance(outcome, Exception):
                yield f"its op {op} fails {test} of torch.library.opcheck: {tell(outcome)}"


def _leaf(value: Any) -> Any:
    """Tensors as a training has them: their gradient is asked for."""
    if isinstance(value, Tensor):
        return value.detach().clone().requires_grad_(value.is_floating_point())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_leaf(item) for item in value]
    return value
