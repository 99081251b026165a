"""Registers an op from a schema, a reference and a fake, with compiled kernels or without."""

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import torch

from harness.ops.library import status

P = ParamSpec("P")
R = TypeVar("R")

_library: Any = torch.library  # typed in some versions only
LIBRARY = _library.Library("harness", "FRAGMENT")


@dataclass(frozen=True)
class Op:
    """What an op was registered with."""

    schema: str
    reference: Callable[..., Any]
    fake: Callable[..., Any]


REGISTERED: dict[str, Op] = {}


@functools.cache
def _warn(name: str, device: str) -> None:
    why = status().reason or f"no kernel is compiled for {device}"
    warnings.warn(
        f"harness.ops.{name} runs on its PyTorch reference on {device}, which is slower: {why}",
        stacklevel=3,
    )


def _announced(name: str, reference: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(reference)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        first = args[0]
        tensor = first[0] if isinstance(first, list | tuple) else first
        assert isinstance(tensor, torch.Tensor)
        _warn(name, tensor.device.type)
        return reference(*args, **kwargs)

    return run


def register(
    schema: str, reference: Callable[..., object], fake: Callable[..., object]
) -> torch._ops.OpOverload:
    """Registers `harness::<name of the schema>` and returns it.

    The reference runs on every device without a compiled kernel, and warns once per device.

    Raises:
        ImportError: The compiled library is of another version: it declares the op differently.
    """
    name = schema.partition("(")[0]
    if not status().compiled:
        LIBRARY.define(schema)
    op: torch._ops.OpOverload = getattr(torch.ops.harness, name).default
    declared = torch._C.parse_schema(f"harness::{schema}")
    if str(op._schema) != str(declared):
        raise ImportError(f"the compiled ops are of another version ({op._schema}); reinstall")
    LIBRARY.impl(name, _announced(name, reference), "CompositeExplicitAutograd")
    _library.register_fake(f"harness::{name}", fake, lib=LIBRARY)
    REGISTERED[name] = Op(schema, reference, fake)
    return op
