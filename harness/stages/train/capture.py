"""Steps on batches of one shape, replayed from a CUDA graph where there is one.

A step of a small detector is thousands of kernels of a few microseconds: launching them one by one
from Python takes longer than they do. A graph launches all of them at once.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from harness.errors import CellError
from harness.modes.capturing import cause_of
from harness.stages.train.buffers import Buffers
from harness.stages.train.step import Numbers
from harness.stages.train.stream import Batch

# Real steps: the first makes the optimiser's state, handles and workspaces, the last shows whether
# a step waits for the device.
WARM_UP_STEPS = 3
WAITED = "called a synchronizing CUDA operation"
PROTOTYPE = "Synchronization debug mode"  # torch says of it once that it is a prototype


class Graph(Protocol):
    """What `StaticStep` asks of a CUDA graph."""

    def warm_up(self, function: Callable[[], Numbers]) -> tuple[Numbers, list[str]]:
        """Run a function as it will be recorded; also where it waited for the device."""
        ...

    def record(self, function: Callable[[], Numbers]) -> Numbers:
        """Note what a function would do, doing nothing; its results are there after `replay`."""
        ...

    def replay(self) -> None:
        """Do what was recorded, on what its memory holds now."""
        ...

    def has_left_device_usable(self) -> bool:
        """Whether steps can go on without a graph after `record` has failed."""
        ...


class CudaGraph:
    """torch's graph; warm-up and recording share a stream, and so workspaces."""

    def __init__(self, device: torch.device) -> None:
        self.graph = torch.cuda.CUDAGraph()
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def warm_up(self, function: Callable[[], Numbers]) -> tuple[Numbers, list[str]]:
        self.stream.wait_stream(torch.cuda.current_stream())
        mode = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings(record=True) as seen, torch.cuda.stream(self.stream):
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                result = function()
            finally:
                torch.cuda.set_sync_debug_mode(mode)
        torch.cuda.current_stream().wait_stream(self.stream)
        waits = [f"{w.filename}:{w.lineno}" for w in seen if WAITED in str(w.message)]
        others = [w for w in seen if not any(s in str(w.message) for s in (WAITED, PROTOTYPE))]
        for other in others:
            warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
        return result, waits

    def record(self, function: Callable[[], Numbers]) -> Numbers:
        # "thread_local": the loader's thread that locks pages must not end the capture
        graph = torch.cuda.graph(self.graph, stream=self.stream, capture_error_mode="thread_local")
        # the outer one puts the stream back, which a failing capture of torch 2.11 does not
        with torch.cuda.stream(torch.cuda.current_stream()), graph:
            return function()

    def replay(self) -> None:
        self.graph.replay()

    def has_left_device_usable(self) -> bool:
        # a capture that ends by a failure can leave the generator of random numbers in it
        try:
            torch.rand(1, device=self.stream.device)
            torch.cuda.synchronize(self.stream.device)
        except RuntimeError:
            return False
        return True


class Capturable(Protocol):
    """What `StaticStep` asks of a step; `Step` has it."""

    def __call__(self, micro: Sequence[Batch]) -> Numbers: ...

    def abandon(self) -> None:
        """Forget a step of which only a part was taken."""
        ...


class StaticStep:
    """A step on buffers: as it is at first, then replayed from a graph.

    A step that waits for the device cannot be captured and stays as it is, and so does one whose
    capture fails; `reason` says why. Batches of other shapes than the first run as they are, too.

    Args:
        step: what is run.
        most_boxes: see `Buffers`.
        device: of the buffers.
        graph: None: nothing is captured, only the shapes stay the same.

    Attributes:
        reason: why nothing is captured although there was a graph.
        replayed: steps that a graph took.
    """

    def __init__(
        self, step: Capturable, most_boxes: int, device: torch.device, graph: Graph | None
    ) -> None:
        self.step, self.most_boxes, self.device, self.graph = step, most_boxes, device, graph
        self.buffers: Buffers | None = None
        self.result: Numbers | None = None
        self.reason: str | None = None
        self.warmed_up, self.replayed, self.shapes_vary = 0, 0, False

    @property
    def settled(self) -> bool:
        """The next step needs no preparation, or, where shapes vary, may as well as any other."""
        prepared = self.graph is None or self.result is not None
        return self.buffers is not None and (prepared or self.shapes_vary)

    def __call__(self, micro: Sequence[Batch]) -> Numbers:
        """As `Step`; the numbers are valid until the next call.

        Raises:
            CellError: recording failed and left a device with which nothing can be done.
        """
        if self.buffers is None:
            self.buffers = Buffers(micro, self.most_boxes, self.device)
        if not self.buffers.fit(micro):
            self.shapes_vary = True
            return self.step(micro)
        self.buffers.fill(micro)
        own = self.buffers.micro
        if self.graph is not None and self.warmed_up < WARM_UP_STEPS:
            return self._warm_up(self.graph, own)
        if self.graph is not None and self.result is None:
            self._record(self.graph, own)
        if self.graph is None or self.result is None:
            return self.step(own)
        self.graph.replay()
        self.replayed += 1
        return self.result

    def _warm_up(self, graph: Graph, own: Sequence[Batch]) -> Numbers:
        result, waits = graph.warm_up(lambda: self.step(own))
        self.warmed_up += 1
        if self.warmed_up == WARM_UP_STEPS and waits:
            self.graph, self.reason = None, f"the step waits for the device ({waits[0]})"
        return result

    def _record(self, graph: Graph, own: Sequence[Batch]) -> None:
        try:
            self.result = graph.record(lambda: self.step(own))
        except RuntimeError as error:
            line = str(cause_of(error)).strip().split("\n")[0]
            self.graph, self.reason = None, f"recording failed: {line}"
            self.step.abandon()
            if not graph.has_left_device_usable():
                hint = "train.step: eager trains without"
                raise CellError(f"the step cannot be captured: {line} ({hint})") from error
