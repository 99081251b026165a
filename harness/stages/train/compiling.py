"""A training's model compiled: where the kernels are kept, and how long it took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn

from harness.data.cache import keep_compiled_kernels


@dataclass
class CompileClock:
    """Seconds spent in compilers, forward and backward, while `running`.

    Attributes:
        on_start: called whenever a compiler begins.
    """

    on_start: Callable[[], None] = lambda: None
    seconds: float = 0.0
    _since: float = field(default=0.0, repr=False)

    @contextmanager
    def running(self) -> Iterator[None]:
        from torch._dynamo.callback import callback_handler  # takes seconds to import

        start = callback_handler.register_start_callback(lambda _: self._start())
        end = callback_handler.register_end_callback(lambda _: self._end())
        try:
            yield
        finally:
            callback_handler.remove_start_callback(start)
            callback_handler.remove_end_callback(end)

    def _start(self) -> None:
        self._since = time.perf_counter()
        self.on_start()

    def _end(self) -> None:
        self.seconds += time.perf_counter() - self._since


def compile_losses(model: nn.Module) -> None:
    """Compile a module's forward and backward, at its first call, for the shapes it gets there."""
    keep_compiled_kernels()
    model.compile()


def forget_compiled(model: nn.Module) -> None:
    """Make it a plain module again, and make room for the next one that is compiled.

    A process holds few compiled versions of a function, and all detectors share theirs. The cache
    on disk keeps the kernels.
    """
    model._compiled_call_impl = None
    torch._dynamo.reset()
