"""`torch.compile` of a function of a batch, and what it could not compile.

A compiler keeps what it made of a function with the function's code object, and gives up on a code
object that it compiled too often. Detectors of one class share their code, so each compiled runner
runs a copy of it.
"""

import inspect
import time
from collections.abc import Callable, Sequence
from itertools import count
from types import CellType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException
from torch._dynamo.utils import counters
from torch._inductor import config
from torch._inductor.compile_fx import compile_fx

from harness.data.batch import Inputs
from harness.data.cache import keep_compiled_kernels
from harness.errors import CellError

Function = Callable[[Inputs], Any]
Backend = Callable[[torch.fx.GraphModule, Sequence[Tensor]], Any]
LIMIT_HIT = (
    "torch.compile gave up: it met one function more often than its recompile limit "
    f"({torch._dynamo.config.recompile_limit}) allows"
)
# Newer versions keep what one call of `torch.compile` made apart from all others by themselves:
# this covers functions of libraries too, which are nobody's methods.
ISOLATES = "isolate_recompiles" in inspect.signature(torch.compile).parameters
APART: dict[str, Any] = {"isolate_recompiles": True} if ISOLATES else {}
# The guards on modules would watch hundreds of weights, which a runner never changes.
WHOLE: dict[str, Any] = {
    "fullgraph": True,
    "options": {"guard_filter_fn": torch.compiler.skip_guard_on_all_nn_modules_unsafe},
}
COMMON = ("torch.nn.",)  # modules that compilers know, and never compile apart from their callers

_numbers = count(1)


class Compiled:
    """A function compiled as one graph, or else in pieces, which `breaks` counts.

    It compiles at the first call with each shape, for that shape alone: a benchmark wants the
    kernels of its own sizes.

    Args:
        module: whose methods `function` looks up and runs; nothing else may use it, since they
            are replaced by copies where it is compiled in pieces.
        backend: makes a callable of a graph and example inputs.

    Attributes:
        breaks: graph breaks, None before the first call.
        seconds: that first calls took.
    """

    def __init__(
        self,
        function: Function,
        module: nn.Module,
        device: torch.device,
        backend: Backend | None = None,
    ) -> None:
        keep_compiled_kernels()
        self.function, self.module, self.device = function, module, device
        self.backend = backend
        self.breaks: int | None = None
        self.seconds = 0.0
        self.made: dict[torch.Size, Function] = {}

    def __call__(self, inputs: Inputs) -> Any:
        made = self.made.get(inputs.pixels.shape)
        if made is not None and self.breaks == 0:
            return made(inputs)
        # on a CPU weights are laid out for the kernels while compiling, once and for all
        with config.patch(freezing=self.device.type == "cpu"):
            if made is not None:  # of pieces any may have to be compiled again
                return made(inputs)
            started = time.perf_counter()
            try:
                return self._first(inputs)
            except FailOnRecompileLimitHit as error:
                raise CellError(LIMIT_HIT) from error
            finally:
                self.seconds += time.perf_counter() - started

    def _first(self, inputs: Inputs) -> Any:
        """With a new shape."""
        if self.breaks:
            return self._compile(inputs, **APART)
        try:
            result = self._compile(inputs, **WHOLE)
            self.breaks = 0
        except TorchDynamoException:
            separate_methods(self.module)
            before = counters["graph_break"].total()
            result = self._compile(inputs, **APART)
            self.breaks = counters["graph_break"].total() - before
        return result

    def _compile(self, inputs: Inputs, **how: Any) -> Any:
        backend = self.backend or compile_fx

        def compile_graph(graph: torch.fx.GraphModule, examples: Sequence[Tensor]) -> Any:
            return backend(graph, examples)

        # A backend of its own: what is compiled here is never taken for another detector's.
        made = torch.compile(separate(self.function), backend=compile_graph, dynamic=False, **how)
        result = made(inputs)
        self.made[inputs.pixels.shape] = made
        return result


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
