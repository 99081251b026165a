"""Functions with code objects of their own.

A compiler keeps what it made of a function with the function's code object, and gives up on a code
object that it compiled too often. Detectors of one class share their code, so each compiled runner
runs a copy of it.
"""

from collections.abc import Callable
from itertools import count
from types import CellType, FunctionType
from typing import Any

from torch import nn

from harness.data.batch import Inputs

_numbers = count(1)
COMMON = ("torch.nn.",)  # modules that compilers know, and never compile apart from their callers


def separate(function: Callable[[Inputs], Any]) -> Callable[[Inputs], Any]:
    """The same function, and the functions that it closes over, with code that equals no other."""

    def run(inputs: Inputs) -> Any:
        return function(inputs)

    return _copy(function if isinstance(function, FunctionType) else run)


def separate_methods(module: nn.Module) -> None:
    """Give the methods of a module and of all within it code objects of their own.

    Each module gets a class of its own, which inherits from the one that it had.
    """
    classes: dict[type, type] = {}
    for part in module.modules():
        kind = type(part)
        if not kind.__module__.startswith(COMMON):
            part.__class__ = classes.setdefault(kind, _own_class(kind))


def _own_class(kind: type[nn.Module]) -> type[nn.Module]:
    methods: dict[str, Any] = {}
    for base in reversed(kind.__mro__[: kind.__mro__.index(nn.Module)]):
        methods |= {k: v for k, v in vars(base).items() if isinstance(v, FunctionType)}
    own = {k: _copy(v) for k, v in methods.items() if not k.startswith("__")}
    make: Any = type(kind)
    made: type[nn.Module] = make(kind.__name__, (kind,), {**own, "__module__": kind.__module__})
    return made


def _copy(function: Any, within: tuple[Any, ...] = ()) -> Callable[..., Any]:
    code = function.__code__
    # a copy of the same name would be equal, and some tables of compilers go by equality
    own = code.replace(co_name=f"{code.co_name}_{next(_numbers)}")
    inside = (*within, function)
    cells = tuple(_copy_cell(cell, inside) for cell in function.__closure__ or ()) or None
    made = FunctionType(own, function.__globals__, function.__name__, function.__defaults__, cells)
    made.__kwdefaults__ = function.__kwdefaults__
    made.__dict__.update(function.__dict__)
    return made


def _copy_cell(cell: CellType, within: tuple[Any, ...]) -> CellType:
    try:
        found = cell.cell_contents
    except ValueError:  # not filled yet
        return cell
    if not isinstance(found, FunctionType) or found in within:
        return cell
    return CellType(_copy(found, within))
