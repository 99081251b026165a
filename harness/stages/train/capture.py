"""Steps on batches of one shape, replayed from a CUDA graph where there is one.

A step of a small detector is thousands of kernels of a few microseconds: launching them one by one
from Python takes longer than they do. A graph launches all of them at once.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from harness.data.batch import Targets
from harness.errors import CellError
from harness.modes.capturing import beside, capture, cause_of
from harness.stages.train.step import Batch, Numbers, Step

# Real steps: the first makes the optimiser's state, handles and workspaces, the last shows whether
# a step waits for the device.
WARM_UP_STEPS = 3
ROUNDED_TO = 8  # rows of targets: data sets that differ by a box have the same shape
WAITED = "called a synchronizing CUDA operation"
PROTOTYPE = "Synchronization debug mode"  # torch says of it once that it is a prototype


class Buffers:
    """A copy of a step's batches on the device, refilled in place for every step.

    Args:
        micro: the first step's batches; their shapes are those of all.
        most_boxes: of any image. Targets get rows for as many, so that no step has a new shape;
            rows that an image does not need are padding.
        device: of the copy.
    """

    def __init__(self, micro: Sequence[Batch], most_boxes: int, device: torch.device) -> None:
        rows = -(-max(1, most_boxes) // ROUNDED_TO) * ROUNDED_TO
        self.micro: list[Batch] = [
            (inputs.to(device).clone(), room_for(targets, rows, device))
            for inputs, targets in micro
        ]

    def fit(self, micro: Sequence[Batch]) -> bool:
        """Whether batches have the shapes of these, rows of targets aside."""
        return len(micro) == len(self.micro) and all(
            type(inputs) is type(own)
            and [x.shape for x in inputs.tensors()] == [x.shape for x in own.tensors()]
            and targets.labels.shape[1] <= own_targets.labels.shape[1]
            for (own, own_targets), (inputs, targets) in zip(self.micro, micro, strict=True)
        )

    def fill(self, micro: Sequence[Batch]) -> None:
        """Copy batches that fit; the device is not waited for where they are page-locked."""
        for (own, own_targets), (inputs, targets) in zip(self.micro, micro, strict=True):
            rows = targets.labels.shape[1]
            for padded in (own_targets.boxes, own_targets.labels):
                padded[:, rows:].zero_()
            filled = replace(
                own_targets, boxes=own_targets.boxes[:, :rows], labels=own_targets.labels[:, :rows]
            )
            for kept, given in ((own, inputs), (filled, targets)):
                for target, source in zip(kept.tensors(), given.tensors(), strict=True):
                    target.copy_(source, non_blocking=True)


def room_for(targets: Targets, rows: int, device: torch.device) -> Targets:
    """Targets of zeros for the same images, with room for `rows` boxes each."""
    images = len(targets.counts)
    return Targets(
        targets.boxes.new_zeros(images, rows, 4, device=device),
        targets.labels.new_zeros(images, rows, device=device),
        targets.counts.new_zeros(images, device=device),
        None if targets.seeds is None else targets.seeds.new_zeros(images, device=device),
    )


class CudaGraph:
    """torch's graph of a step; warm-up and recording share a stream, and so workspaces."""

    def __init__(self, device: torch.device) -> None:
        self.graph = torch.cuda.CUDAGraph()
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def warm_up(self, function: Callable[[], Numbers]) -> tuple[Numbers, list[str]]:
        """Run a function as it will be recorded; also where it waited for the device."""
        mode = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings(record=True) as seen, beside(self.stream):
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                result = function()
            finally:
                torch.cuda.set_sync_debug_mode(mode)
        waits = [f"{w.filename}:{w.lineno}" for w in seen if WAITED in str(w.message)]
        others = [w for w in seen if not any(s in str(w.message) for s in (WAITED, PROTOTYPE))]
        for other in others:
            warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
        return result, waits

    def record(self, function: Callable[[], Numbers]) -> Numbers:
        """Note what a function would do, doing nothing; its results are there after `replay`."""
        # "thread_local": the loader's thread that locks pages must not end the capture
        return capture(self.graph, function, stream=self.stream, capture_error_mode="thread_local")

    def replay(self) -> None:
        """Do what was recorded, on what its memory holds now."""
        self.graph.replay()

    def has_left_device_usable(self) -> bool:
        """Whether steps can go on without a graph after `record` has failed."""
        # a capture that ends by a failure can leave the generator of random numbers in it
        try:
            torch.rand(1, device=self.stream.device)
            torch.cuda.synchronize(self.stream.device)
        except RuntimeError:
            return False
        return True


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
        self, step: Step, most_boxes: int, device: torch.device, graph: CudaGraph | None
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
            CellError: recording failed and left the device unusable.
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

    def _warm_up(self, graph: CudaGraph, own: Sequence[Batch]) -> Numbers:
        result, waits = graph.warm_up(lambda: self.step(own))
        self.warmed_up += 1
        if self.warmed_up == WARM_UP_STEPS and waits:
            self.graph, self.reason = None, f"the step waits for the device ({waits[0]})"
        return result

    def _record(self, graph: CudaGraph, own: Sequence[Batch]) -> None:
        try:
            self.result = graph.record(lambda: self.step(own))
        except RuntimeError as error:
            line = str(cause_of(error)).strip().split("\n")[0]
            self.graph, self.reason = None, f"recording failed: {line}"
            self.step.abandon()
            if not graph.has_left_device_usable():
                hint = "train.step: eager trains without"
                raise CellError(f"the step cannot be captured: {line} ({hint})") from error
