"""`torch.compile` of a function of a batch, and what it could not compile."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._dynamo import config as dynamo
from torch._dynamo.exc import TorchDynamoException
from torch._dynamo.utils import counters
from torch._inductor import config as inductor
from torch._inductor.compile_fx import compile_fx

from harness.data.batch import Inputs
from harness.data.cache import keep_compiled_kernels

Function = Callable[[Inputs], Any]
Backend = Callable[[torch.fx.GraphModule, Sequence[Tensor]], Any]
# The guards on modules would watch hundreds of weights, which a runner never changes.
WHOLE: dict[str, Any] = {
    "fullgraph": True,
    "options": {"guard_filter_fn": torch.compiler.skip_guard_on_all_nn_modules_unsafe},
}
# torch keeps what it compiled with a function's code, which detectors of one class share, and by
# default leaves the ninth of them to run uncompiled.
ANY_NUMBER = 2**31


class Compiled:
    """A function compiled as one graph, or else in pieces, which `breaks` counts.

    It compiles at the first call with each shape, for that shape alone: a benchmark wants the
    kernels of its own sizes.

    Args:
        backend: makes a callable of a graph and example inputs.

    Attributes:
        breaks: graph breaks, None before the first call.
        seconds: that first calls took.
    """

    def __init__(
        self, function: Function, device: torch.device, backend: Backend | None = None
    ) -> None:
        keep_compiled_kernels()
        dynamo.recompile_limit = dynamo.accumulated_recompile_limit = ANY_NUMBER
        self.function, self.device = function, device
        self.backend = backend
        self.breaks: int | None = None
        self.seconds = 0.0
        self.made: dict[torch.Size, Function] = {}

    def __call__(self, inputs: Inputs) -> Any:
        made = self.made.get(inputs.pixels.shape)
        if made is not None and self.breaks == 0:
            return made(inputs)
        # on a CPU weights are laid out for the kernels while compiling, once and for all
        with inductor.patch(freezing=self.device.type == "cpu"):
            if made is not None:  # of pieces any may have to be compiled again
                return made(inputs)
            started = time.perf_counter()
            try:
                return self._first(inputs)
            finally:
                self.seconds += time.perf_counter() - started

    def _first(self, inputs: Inputs) -> Any:
        """With a new shape."""
        if self.breaks:
            return self._compile(inputs)
        try:
            result = self._compile(inputs, **WHOLE)
            self.breaks = 0
        except TorchDynamoException:
            before = counters["graph_break"].total()
            result = self._compile(inputs)
            self.breaks = counters["graph_break"].total() - before
        return result

    def _compile(self, inputs: Inputs, **how: Any) -> Any:
        backend = self.backend or compile_fx

        def compile_graph(graph: torch.fx.GraphModule, examples: Sequence[Tensor]) -> Any:
            return backend(graph, examples)

        # A backend of its own: what is compiled here is never taken for another detector's.
        made = torch.compile(self.function, backend=compile_graph, dynamic=False, **how)
        result = made(inputs)
        self.made[inputs.pixels.shape] = made
        return result
