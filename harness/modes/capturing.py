"""CUDA graphs: a function of a batch recorded once, then replayed in a single launch."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from harness.data.batch import Inputs

WARM_UP_CALLS = 3  # lazily made handles, workspaces and autotuned kernels must be there before


@dataclass(frozen=True)
class Recording:
    """A graph with the memory that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    inputs: Inputs
    result: Any


class Captured:
    """A function captured at the first call with each shape of the batch.

    What it returns lies in the graph's own memory: valid until the next call.
    """

    def __init__(self, function: Callable[[Inputs], Any]) -> None:
        self.function = function
        self.recordings: dict[tuple[Any, ...], Recording] = {}

    def __call__(self, inputs: Inputs) -> Any:
        key = tuple((x.shape, x.dtype) for x in _tensors(inputs))
        recording = self.recordings.get(key)
        if recording is None:
            recording = self.recordings[key] = self._record(inputs)
        for own, given in zip(_tensors(recording.inputs), _tensors(inputs), strict=True):
            own.copy_(given, non_blocking=True)
        recording.graph.replay()
        return recording.result

    def _record(self, inputs: Inputs) -> Recording:
        own = Inputs(*(x.clone() for x in _tensors(inputs)))
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_CALLS):
                self.function(own)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = self.function(own)
        return Recording(graph, own, result)


def _tensors(inputs: Inputs) -> list[Tensor]:
    return [getattr(inputs, field.name) for field in fields(inputs)]
