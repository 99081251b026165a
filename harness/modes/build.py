"""From a mode's name to a runner."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch

from harness.data.batch import Inputs
from harness.data.resize import collate_images
from harness.errors import UserError
from harness.model.detector import Detector
from harness.modes.capturing import Captured
from harness.modes.compiling import Compiled
from harness.modes.folding import fold_norms, fuse_parts
from harness.modes.precision import half_dtype, halve_weights, in_precision
from harness.modes.runner import Runner

HALF = "-half"
Function = Callable[[Inputs], Any]


def build_runner(detector: Detector, mode: str) -> Runner:
    """Make a detector run in a mode, on the device that it is on.

    `fused` folds batch norms and lays images and weights out channels last; `compiled` compiles
    what `fused` makes; `cuda_graph` captures what `compiled` makes. With "-half" at its end a
    mode's convolutions and products are in the 16-bit floating point of the device.

    Args:
        detector: in evaluation mode; it is not changed.
        mode: a name of `harness.manifest.schema.MODES`.

    Raises:
        UserError: the device does not have the mode; see `unavailable`.
    """
    device, (way, half) = detector.device, _parse(mode)
    reason = unavailable(mode, device)
    if reason is not None:
        raise UserError(f"the mode '{mode}' cannot run: {reason}")
    dtype = half_dtype(device) if half else None
    conditions: dict[str, Any] = {}
    own = detector if mode == "eager" else deepcopy(detector)
    if way != "eager":
        conditions["folded_norms"] = _fuse(own)
    if dtype is not None:
        halve_weights(own, dtype)
    functions = _functions(own, channels_last=way != "eager")
    if dtype is not None:
        functions = {k: in_precision(f, device, dtype) for k, f in functions.items()}
    if way in ("compiled", "cuda_graph"):
        functions = {k: Compiled(f, device) for k, f in functions.items()}
    compiled = functions
    if way == "cuda_graph":
        functions = {k: Captured(f) for k, f in functions.items()}
    return Runner(
        own, way, str(dtype or torch.float32).removeprefix("torch."), **functions,
        about=lambda: conditions | _breaks(compiled),
    )  # fmt: skip


def unavailable(mode: str, device: torch.device) -> str | None:
    """Why a device cannot run a mode, None where it can."""
    way, half = _parse(mode)
    if way == "cuda_graph" and device.type != "cuda":
        return "CUDA graphs need an NVIDIA GPU"
    if half and half_dtype(device) is None:
        return "this processor has no 16-bit floating-point arithmetic"
    return None


def _parse(mode: str) -> tuple[str, bool]:
    return mode.removesuffix(HALF), mode.endswith(HALF)


def _functions(detector: Detector, channels_last: bool) -> dict[str, Function]:
    def prepare(inputs: Inputs) -> Inputs:
        ready = detector.prepare(inputs)
        if not channels_last:
            return ready
        pixels = ready.pixels.contiguous(memory_format=torch.channels_last)
        return Inputs(pixels, ready.sizes, ready.scales, ready.image_sizes)

    return {
        "network": detector.network,
        "forward": detector.forward,
        "detect_pixels": lambda inputs: detector.forward(prepare(inputs)),
    }


def _fuse(detector: Detector) -> int:
    """Fold batch norms and turn weights channels last; returns how many were folded."""
    grey = torch.full((3, 320, 320), 127, dtype=torch.uint8)
    inputs = detector.prepare(collate_images([detector.resize(grey)]))
    folded = fold_norms(detector, lambda: detector.network(inputs))
    fuse_parts(detector)
    detector.to(memory_format=torch.channels_last)
    return folded


def _breaks(functions: dict[str, Any]) -> dict[str, int]:
    """Graph breaks of the functions that were called, the most of any."""
    found = [f.breaks for f in functions.values() if isinstance(f, Compiled)]
    known = [breaks for breaks in found if breaks is not None]
    return {"graph_breaks": max(known)} if known else {}
