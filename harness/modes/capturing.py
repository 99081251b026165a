"""CUDA graphs: a function of a batch recorded once, then replayed in a single launch.

Where the capture fails, the function is watched op by op, to name the op that is to blame.
"""

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness.data.batch import Inputs
from harness.data.resize import ResizedImage, as_planes, collate_geometry
from harness.errors import CellError

WARM_UP_CALLS = 3  # lazily made handles, workspaces and autotuned kernels must be there before
Function = Callable[[Inputs], Any]
Geometry = list[tuple[Any, ...]]
Result = TypeVar("Result")
PACKAGES = ("torch", "harness/modes")  # whose frames do not tell who called an op
# Their results have sizes, or are values, that only the device knows: the host has to wait.
WAITING = frozenset(
    {
        "aten::_local_scalar_dense",
        "aten::_unique",
        "aten::_unique2",
        "aten::bincount",
        "aten::equal",
        "aten::is_nonzero",
        "aten::item",
        "aten::masked_select",
        "aten::nonzero",
        "aten::repeat_interleave",
        "aten::unique_consecutive",
        "aten::unique_dim",
        "torchvision::nms",
    }
)


@dataclass
class Recording:
    """A graph with the memory that it reads and writes.

    Attributes:
        geometry: what sizes and scales in that memory were made of, None where that is not known.
    """

    replay: Callable[[], None]
    inputs: Inputs
    result: Any
    geometry: Geometry | None = None

    @cached_property
    def planes(self) -> list[Tensor]:
        """Where each image's pixels lie."""
        return list(self.inputs.pixels)

    def take(self, inputs: Inputs) -> None:
        """Copy what does not lie there already."""
        if inputs is self.inputs:  # the host's time counts while the device waits for the launch
            return
        for own, given in zip(self.inputs.tensors(), inputs.tensors(), strict=True):
            if own is not given:
                own.copy_(given, non_blocking=True)
                self.geometry = None

    def fill(self, images: Sequence[ResizedImage]) -> None:
        """Copy pixels, in one launch those of the same device, and sizes only where they differ."""
        torch._foreach_copy_(self.planes, [as_planes(image.pixels) for image in images], True)
        geometry = [(image.pixels.shape, image.scale, image.image_size) for image in images]
        if geometry != self.geometry:
            collated = collate_geometry(images, self.inputs.pixels.device)
            for own, given in zip(list(self.inputs.tensors())[1:], collated, strict=True):
                own.copy_(given, non_blocking=True)
            self.geometry = geometry


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
        self.recordings: dict[tuple[torch.Size, torch.dtype], Recording] = {}

    def __call__(self, inputs: Inputs) -> Any:
        key = inputs.pixels.shape, inputs.pixels.dtype
        recording = self.recordings.get(key)
        if recording is None:
            recording = self.recordings[key] = self._record(inputs)
        recording.take(inputs)
        recording.replay()
        return recording.result

    def place(self, images: Sequence[ResizedImage]) -> Inputs | None:
        """The images as a batch in the memory that a graph reads, valid until the next call.

        None where no graph has been recorded for their shape, or they would have to be padded.
        """
        first = images[0].pixels.shape
        if any(image.pixels.shape != first for image in images):
            return None
        shape = torch.Size((len(images), *first))
        recording = self.recordings.get((shape, torch.uint8))
        if recording is None:
            return None
        recording.fill(images)
        return recording.inputs

    def _record(self, inputs: Inputs) -> Recording:
        with torch.inference_mode(False):  # they are written to in any mode
            own = Inputs(*(x.clone() for x in inputs.tensors()))
        try:
            return record(self.function, own)
        except RuntimeError as error:
            cause = cause_of(error)
            if isinstance(cause, torch.OutOfMemoryError):
                raise cause from error
            raise CellError(self._explain(own, cause)) from error

    def _explain(self, inputs: Inputs, error: RuntimeError) -> str:
        obstacle = find_obstacle(self.plain, inputs)
        if obstacle:
            return f"cuda_graph cannot capture {obstacle}"
        reason = str(error).strip().splitlines()[0]
        return f"cuda_graph: the capture failed, but not in an op known to wait: {reason}"


def cause_of(error: RuntimeError) -> RuntimeError:
    """What broke a capture: torch's own error at its end is raised over it."""
    return error.__context__ if isinstance(error.__context__, RuntimeError) else error


def record(function: Function, inputs: Inputs) -> Recording:
    """Call `function` on memory that is kept, and record what it launches.

    Raises:
        RuntimeError: it does what a graph cannot hold; torch's message does not name the op.
    """
    with beside(torch.cuda.Stream()):  # type: ignore[no-untyped-call]
        for _ in range(WARM_UP_CALLS):
            function(inputs)
    graph = torch.cuda.CUDAGraph()
    result = capture(graph, lambda: function(inputs))
    return Recording(graph.replay, inputs, result)


@contextmanager
def beside(stream: torch.cuda.Stream) -> Iterator[None]:
    """Run what is inside on another stream, after what came before and before what follows."""
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream().wait_stream(stream)


def capture(graph: torch.cuda.CUDAGraph, function: Callable[[], Result], **how: Any) -> Result:
    """Record what `function` launches; its result is there once the graph is replayed.

    Args:
        how: as `torch.cuda.graph` takes it.
    """
    # the outer one puts the stream back, which a failing capture of torch 2.11 does not
    with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph, **how):
        return function()


class ObstacleError(Exception):
    """An op that a graph cannot hold, and where it is called."""


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if _waits(func._schema.name, args, kwargs or {}):
            raise ObstacleError(f"{func._schema.name} (called from {_caller()})")
        return func(*args, **(kwargs or {}))


def find_obstacle(function: Function, inputs: Inputs) -> str:
    """The first op of `function` that waits for the device, and who calls it; "" for none."""
    try:
        with _Watch():  # type: ignore[no-untyped-call]
            function(inputs)
    except ObstacleError as found:
        return str(found)
    except RuntimeError:  # the failure of the capture says more than this one
        return ""
    return ""


def _waits(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether the host has to wait for the device in an op."""
    if name in ("aten::index", "aten::index_put", "aten::index_put_"):
        # by a mask: the result is as long as the mask has ones
        indices = (x for x in tree_leaves(args[1]) if x is not None)
        return any(x.dtype in (torch.bool, torch.uint8) for x in indices)
    # copies between the host's pageable memory and a device
    if name in ("aten::_to_copy", "aten::to"):  # the second one in inference mode
        device = kwargs.get("device")
        return device is not None and torch.device(device).type != args[0].device.type
    if name == "aten::copy_":
        return bool(args[0].device.type != args[1].device.type)
    return name in WAITING


def _caller() -> str:
    """File, line and function of the innermost frame outside PyTorch and this package."""
    for frame in reversed(traceback.extract_stack()):
        path = Path(frame.filename).as_posix()
        if not any(f"/{package}/" in path for package in PACKAGES):
            return f"{path.rpartition('site-packages/')[2]}:{frame.lineno} {frame.name}"
    return "unknown code"
