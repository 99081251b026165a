"""`torch.compile` of a function of a batch, and what it could not compile."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException
from torch._dynamo.utils import counters
from torch._inductor import config
from torch._inductor.compile_fx import compile_fx

from harness.data.batch import Inputs
from harness.data.cache import keep_compiled_kernels

Function = Callable[[Inputs], Any]
Options = dict[str, str | int | bool | Callable[..., Any]]


class Compiled:
    """A function compiled as one graph; where that cannot be, in pieces, which `breaks` counts.

    It compiles at the first call with each shape: a benchmark wants the kernels of its own sizes.

    Attributes:
        breaks: graph breaks, None before the first call.
    """

    def __init__(self, function: Function, device: torch.device) -> None:
        keep_compiled_kernels()
        self.function, self.device = function, device
        self.breaks: int | None = None
        self.shapes: set[torch.Size] = set()
        # The guards on modules would watch hundreds of weights, which a runner never changes.
        options: Options = {"guard_filter_fn": torch.compiler.skip_guard_on_all_nn_modules_unsafe}
        # A backend of its own: what is compiled here is never taken for another detector's.
        self._run: Function = torch.compile(
            function, backend=_backend(), fullgraph=True, dynamic=False, options=options
        )

    def __call__(self, inputs: Inputs) -> Any:
        if self.breaks == 0 and inputs.pixels.shape in self.shapes:
            return self._run(inputs)
        with weights_are_constants(self.device):
            return self._first(inputs) if self.breaks is None else self._again(inputs)

    def _again(self, inputs: Inputs) -> Any:
        """With a new shape, or in pieces, of which any may have to be compiled again."""
        result = self._run(inputs)
        self.shapes.add(inputs.pixels.shape)
        return result

    def _first(self, inputs: Inputs) -> Any:
        try:
            result = self._again(inputs)
        except TorchDynamoException:
            before = counters["graph_break"].total()
            self._run = torch.compile(self.function, backend=_backend(), dynamic=False)
            result = self._again(inputs)
            self.breaks = counters["graph_break"].total() - before
        else:
            self.breaks = 0
        return result


def _backend() -> Callable[[torch.fx.GraphModule, Sequence[Tensor]], Any]:
    def inductor(graph: torch.fx.GraphModule, examples: Sequence[Tensor]) -> Any:
        return compile_fx(graph, examples)

    return inductor


@contextmanager
def weights_are_constants(device: torch.device) -> Iterator[None]:
    """On a CPU: weights are laid out for the kernels while compiling, once and for all."""
    with config.patch(freezing=device.type == "cpu"):
        yield
