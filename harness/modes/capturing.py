"""CUDA graphs: a function of a batch recorded once, then replayed in a single launch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from harness.data.batch import Inputs
from harness.errors import CellError
from harness.modes.blame import find_obstacle

WARM_UP_CALLS = 3  # lazily made handles, workspaces and autotuned kernels must be there before
Function = Callable[[Inputs], Any]


@dataclass(frozen=True)
class Recording:
    """A graph with the memory that it reads and writes."""

    replay: Callable[[], None]
    inputs: Inputs
    result: Any


class Captured:
    """A function captured at the first call with each shape of the batch.

    What it returns lies in the graph's own memory: valid until the next call.

    Args:
        function: of a batch on the device; what it does there must be launches alone.
        plain: the same in a way that can be watched op by op, to name the op that is to blame
            where the capture fails.
    """

    def __init__(self, function: Function, plain: Function) -> None:
        self.function, self.plain = function, plain
        self.recordings: dict[tuple[Any, ...], Recording] = {}

    def __call__(self, inputs: Inputs) -> Any:
        given = inputs.tensors
        key = tuple((x.shape, x.dtype) for x in given)
        recording = self.recordings.get(key)
        if recording is None:
            recording = self.recordings[key] = self._record(inputs)
        moved = [p for p in zip(recording.inputs.tensors, given, strict=True) if p[0] is not p[1]]
        if moved:
            # one launch for each dtype, whatever the number of tensors
            torch._foreach_copy_([own for own, _ in moved], [x for _, x in moved], True)
        recording.replay()
        return recording.result

    def _record(self, inputs: Inputs) -> Recording:
        own = Inputs(*(x.clone() for x in inputs.tensors))
        try:
            return record(self.function, own)
        except RuntimeError as error:
            raise CellError(self._explain(own, error)) from error

    def _explain(self, inputs: Inputs, error: RuntimeError) -> str:
        obstacle = find_obstacle(self.plain, inputs)
        if obstacle:
            return f"cuda_graph cannot capture {obstacle}"
        reason = str(error).strip().splitlines()[0]
        return f"cuda_graph: the capture failed, by no op that is known to wait: {reason}"


def record(function: Function, inputs: Inputs) -> Recording:
    """Call `function` on memory that is kept, and record what it launches.

    Raises:
        RuntimeError: it does what a graph cannot hold; what torch says does not name the op.
    """
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP_CALLS):
            function(inputs)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = function(inputs)
    return Recording(graph.replay, inputs, result)
