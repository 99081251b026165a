"""Which op keeps a function out of a CUDA graph, found by watching it op by op."""

import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness.data.batch import Inputs

Function = Callable[[Inputs], Any]
PACKAGES = ("torch", "harness/modes")  # whose frames say nothing of who called an op
# Their results have sizes, or are values, that only the device knows: the host has to wait.
WAITING = frozenset(
    {
        "aten::_local_scalar_dense",
        "aten::_unique",
        "aten::_unique2",
        "aten::bincount",
        "aten::equal",
        "aten::is_nonzero",
        "aten::item",
        "aten::masked_select",
        "aten::nonzero",
        "aten::repeat_interleave",
        "aten::unique_consecutive",
        "aten::unique_dim",
        "torchvision::nms",
    }
)


class ObstacleError(Exception):
    """An op that a graph cannot hold.

    Args:
        words: the op and where it is called.
    """


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = func._schema.name
        if name in WAITING or _by_mask(name, args) or _crosses(name, args, kwargs or {}):
            raise ObstacleError(f"{name} (called from {_caller()})")
        return func(*args, **(kwargs or {}))


def find_obstacle(function: Function, inputs: Inputs) -> str:
    """The first op of `function` that waits for the device, and who calls it; "" for none."""
    try:
        with _Watch():  # type: ignore[no-untyped-call]
            function(inputs)
    except ObstacleError as found:
        return str(found)
    except RuntimeError:  # the failure of the capture says more than this one
        return ""
    return ""


def _by_mask(name: str, args: tuple[Any, ...]) -> bool:
    """Indexing by a mask, whose result is as long as the mask has ones."""
    if name not in ("aten::index", "aten::index_put", "aten::index_put_"):
        return False
    return any(x.dtype in (torch.bool, torch.uint8) for x in tree_leaves(args[1]) if x is not None)


def _crosses(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """A copy between the host's pageable memory and a device."""
    if name in ("aten::_to_copy", "aten::to"):  # the second one in inference mode
        wanted = kwargs.get("device")
        return wanted is not None and torch.device(wanted).type != args[0].device.type
    if name == "aten::copy_":
        sides: tuple[Tensor, Tensor] = args[0], args[1]
        return sides[0].device.type != sides[1].device.type
    return False


def _caller() -> str:
    """File, line and function of the innermost frame that is not PyTorch's or of this room."""
    for frame in reversed(traceback.extract_stack()):
        path = Path(frame.filename).as_posix()
        if not any(f"/{package}/" in path for package in PACKAGES):
            return f"{path.rpartition('site-packages/')[2]}:{frame.lineno} {frame.name}"
    return "unknown code"
