"""The modes of torch: each makes more of what the one before it makes."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from harness.data.batch import Inputs
from harness.data.resize import collate_images
from harness.model.arithmetic import arithmetic
from harness.model.detector import Detector
from harness.modes.capturing import Captured
from harness.modes.folding import fold_norms, fuse_parts
from harness.modes.precision import DTYPES, autocast, cast_weights, lacking
from harness.modes.runner import Artifact, Runner, functions_of

Function = Callable[[Inputs], Any]


@dataclass(frozen=True)
class TorchRuntime:
    """`fused` fuses Conv-BN and lays images and weights out channels last.

    `compiled` compiles what `fused` makes; `cuda_graph` captures what `compiled` makes. The
    precision is that of convolutions and products; in 16 bits autocast chooses what else is in
    them.
    """

    mode: str

    def lacking(self, precision: str, device: torch.device) -> str | None:
        if self.mode == "cuda_graph" and device.type != "cuda":
            return "CUDA graphs need an NVIDIA GPU"
        return lacking(precision, device)

    def build(self, detector: Detector, precision: str) -> Runner:
        mode, device = self.mode, detector.device
        conditions: dict[str, Any] = {}
        own = detector if mode == "eager" and precision not in DTYPES else deepcopy(detector)
        if mode != "eager":
            with arithmetic(precision):
                conditions["folded_norms"] = _fuse(own)
        functions = functions_of(own, None if mode == "eager" else _channels_last(own))
        if precision in DTYPES:
            dtype = DTYPES[precision]
            cast_weights(own, dtype)
            functions = {k: autocast(f, device, dtype) for k, f in functions.items()}
        plain: dict[str, Any] = {k: arithmetic(precision)(f) for k, f in functions.items()}
        weights = Artifact(size_of_weights(own), "parameters and buffers")
        runner = Runner(
            own, mode, precision, about=lambda: conditions, artifact=lambda: weights, **plain
        )
        return runner if mode in ("eager", "fused") else _compiled(runner, functions)


eager, fused, compiled, cuda_graph = (
    partial(TorchRuntime, mode) for mode in ("eager", "fused", "compiled", "cuda_graph")
)


def size_of_weights(detector: Detector) -> int:
    """Bytes of parameters and buffers at inference, a shared one once."""
    named = [*detector.named_parameters(), *detector.named_buffers()]
    return sum(t.nbytes for name, t in named if not name.startswith(detector.training_only))


def _compiled(runner: Runner, functions: Mapping[str, Function]) -> Runner:
    """The runner with `functions` compiled, and captured where its mode says so."""
    from harness.modes.compiling import Compiled  # Dynamo and Inductor: seconds to import

    made = {k: Compiled(f, runner.detector, runner.device) for k, f in functions.items()}
    ready: dict[str, Any] = {k: arithmetic(runner.precision)(f) for k, f in made.items()}
    if runner.mode == "cuda_graph":  # what is replayed has the flags of its capture
        ready = {k: Captured(f, getattr(runner, k)) for k, f in ready.items()}
        ready["place"] = ready["detect_pixels"].place

    def about() -> dict[str, Any]:
        known = [f.breaks for f in made.values() if f.breaks is not None]
        return runner.conditions | ({"graph_breaks": max(known)} if known else {})

    return replace(
        runner,
        about=about,
        compile_seconds=lambda: sum(c.seconds for c in made.values()),
        **ready,
    )


def _channels_last(detector: Detector) -> Callable[[Inputs], Inputs]:
    def prepare(inputs: Inputs) -> Inputs:
        ready = detector.prepare(inputs)
        pixels = ready.pixels.contiguous(memory_format=torch.channels_last)
        return Inputs(pixels, ready.sizes, ready.scales, ready.image_sizes)

    return prepare


def _fuse(detector: Detector) -> int:
    """Fuse batch norms and turn weights channels last; returns how many were fused."""
    grey = torch.full((3, 320, 320), 127, dtype=torch.uint8)
    inputs = detector.prepare(collate_images([detector.resize(grey)]))
    folded = fold_norms(detector, lambda: detector.network(inputs))
    fuse_parts(detector)
    detector.to(memory_format=torch.channels_last)
    return folded
