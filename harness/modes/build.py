"""From a mode's name to a runner."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch

from harness.data.batch import Inputs
from harness.data.resize import collate_images
from harness.errors import UserError, near_names
from harness.manifest.schema import MODES, PRECISIONS
from harness.model.arithmetic import arithmetic
from harness.model.detector import Detector
from harness.modes.capturing import Captured
from harness.modes.folding import fold_norms, fuse_parts
from harness.modes.precision import DTYPES, autocast, cast_weights, lacking
from harness.modes.runner import Runner

Function = Callable[[Inputs], Any]


def build_runner(detector: Detector, mode: str = "eager", precision: str = "float32") -> Runner:
    """Make a detector run in a mode and a precision, on the device that it is on.

    `fused` fuses Conv-BN and lays images and weights out channels last; `compiled` compiles
    what `fused` makes; `cuda_graph` captures what `compiled` makes. The precision is that of
    convolutions and products; in 16 bits autocast chooses what else is in them.

    Args:
        detector: in evaluation mode; it is not changed.
        mode: a name of `harness.manifest.schema.MODES`.
        precision: a name of `harness.manifest.schema.PRECISIONS`.

    Raises:
        UserError: the device does not have the mode or the precision; see `unavailable`.
    """
    device = detector.device
    reason = unavailable(mode, precision, device)
    if reason is not None:
        raise UserError(f"{mode} in {precision} cannot run: {reason}")
    conditions: dict[str, Any] = {}
    own = detector if mode == "eager" and precision not in DTYPES else deepcopy(detector)
    if mode != "eager":
        with arithmetic(precision):
            conditions["folded_norms"] = _fuse(own)
    functions = _functions(own, channels_last=mode != "eager")
    if precision in DTYPES:
        dtype = DTYPES[precision]
        cast_weights(own, dtype)
        functions = {k: autocast(f, device, dtype) for k, f in functions.items()}
    plain: dict[str, Any] = {k: arithmetic(precision)(f) for k, f in functions.items()}
    runner = Runner(own, mode, precision, about=lambda: conditions, **plain)
    return runner if mode in ("eager", "fused") else _compiled(runner, functions)


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


def unavailable(mode: str, precision: str, device: torch.device) -> str | None:
    """Why a device cannot run a mode in a precision, None where it can.

    Raises:
        UserError: there is no such mode or precision.
    """
    for kind, name, known in (("mode", mode, MODES), ("precision", precision, PRECISIONS)):
        if name not in known:
            raise UserError(f"there is no {kind} '{name}'", hint=near_names(name, list(known)))
    if mode == "cuda_graph" and device.type != "cuda":
        return "CUDA graphs need an NVIDIA GPU"
    return lacking(precision, device)


def _functions(detector: Detector, channels_last: bool) -> dict[str, Function]:
    def prepare(inputs: Inputs) -> Inputs:
        ready = detector.prepare(inputs)
        if not channels_last:
            return ready
        pixels = ready.pixels.contiguous(memory_format=torch.channels_last)
        return Inputs(pixels, ready.sizes, ready.scales, ready.image_sizes)

    return {
        # looked up at each call: a compiler may have given the detector methods of its own
        "network": lambda inputs: detector.network(inputs),
        "forward": lambda inputs: detector.forward(inputs),
        "detect_pixels": lambda inputs: detector.forward(prepare(inputs)),
    }


def _fuse(detector: Detector) -> int:
    """Fuse batch norms and turn weights channels last; returns how many were fused."""
    grey = torch.full((3, 320, 320), 127, dtype=torch.uint8)
    inputs = detector.prepare(collate_images([detector.resize(grey)]))
    folded = fold_norms(detector, lambda: detector.network(inputs))
    fuse_parts(detector)
    detector.to(memory_format=torch.channels_last)
    return folded
