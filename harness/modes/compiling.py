"""`torch.compile` of a function of a batch, and what it could not compile."""

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
from harness.modes.separating import separate, separate_methods

Function = Callable[[Inputs], Any]
Backend = Callable[[torch.fx.GraphModule, Sequence[Tensor]], Any]
Options = dict[str, str | int | bool | Callable[..., Any]]
LIMIT_HIT = (
    "torch.compile gave up: it met one function more often than its recompile limit "
    f"({torch._dynamo.config.recompile_limit}) allows"
)
# Newer versions keep what one call of `torch.compile` made apart from all others by themselves:
# this covers functions of libraries too, which are nobody's methods.
ISOLATES = "isolate_recompiles" in inspect.signature(torch.compile).parameters
APART: dict[str, Any] = {"isolate_recompiles": True} if ISOLATES else {}


class Compiled:
    """A function compiled as one graph; where that cannot be, in pieces, which `breaks` counts.

    It compiles at the first call with each shape, for that shape alone: a benchmark wants the
    kernels of its own sizes.

    Args:
        module: whose methods `function` looks up and runs; nothing else does, since where it is
            compiled in pieces they are replaced by copies.
        backend: makes something to call of a graph and example inputs.

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
        with weights_are_constants(self.device):
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
            return self._in_pieces(inputs)
        try:
            result = self._whole(inputs)
        except TorchDynamoException:
            separate_methods(self.module)
            before = counters["graph_break"].total()
            result = self._in_pieces(inputs)
            self.breaks = counters["graph_break"].total() - before
        else:
            self.breaks = 0
        return result

    def _whole(self, inputs: Inputs) -> Any:
        # The guards on modules would watch hundreds of weights, which a runner never changes.
        options: Options = {"guard_filter_fn": torch.compiler.skip_guard_on_all_nn_modules_unsafe}
        return self._call(inputs, fullgraph=True, options=options)

    def _in_pieces(self, inputs: Inputs) -> Any:
        return self._call(inputs, **APART)

    def _call(self, inputs: Inputs, **how: Any) -> Any:
        # A backend of its own: what is compiled here is never taken for another detector's.
        backend = _own_backend(self.backend or compile_fx)
        made = torch.compile(separate(self.function), backend=backend, dynamic=False, **how)
        result = made(inputs)
        self.made[inputs.pixels.shape] = made
        return result


def _own_backend(backend: Callable[..., Any]) -> Backend:
    def compile_graph(graph: torch.fx.GraphModule, examples: Sequence[Tensor]) -> Any:
        return backend(graph, examples)

    return compile_graph


@contextmanager
def weights_are_constants(device: torch.device) -> Iterator[None]:
    """On a CPU: weights are laid out for the kernels while compiling, once and for all."""
    with config.patch(freezing=device.type == "cpu"):
        yield
