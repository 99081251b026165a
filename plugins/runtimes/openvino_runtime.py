"""OpenVINO."""

import contextlib
import io
import logging
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harness_plugins.runtimes.exported import ExportingRuntime, Session, Written
from harness_plugins.runtimes.quantize import has_int8_products

if TYPE_CHECKING:
    from onnx import ModelProto

DEVICE = "CPU"
MOVING = ("Input", "Output", "Const", "Reorder")  # what computes nothing
NEEDS = ("onnx", "onnxscript", "openvino")


def open_session(path: Path) -> Session:
    """A request on the CPU. What it returns lies in its own memory, valid until the next call."""
    compiled = _compile(path)
    request = compiled.create_infer_request()

    def run(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        given = {place: t.numpy() for place, t in enumerate(tensors)}
        found = request.infer(given, share_inputs=True, share_outputs=True)
        return [torch.from_numpy(found[place]) for place in range(len(compiled.outputs))]

    return run


def _compile(path: Path) -> Any:
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "f32",  # else 16 bits where the processor has them
        "PERFORMANCE_HINT": "LATENCY",
    }
    core: Any = openvino.Core()
    return core.compile_model(str(path), DEVICE, settings)


def write(model: "ModelProto", path: Path, samples: Sequence[Sequence[Tensor]] | None) -> Written:
    """`path`.xml and .bin, weights in float32 or quantised."""
    import openvino

    target = path.with_name(f"{path.name}.xml")
    core: Any = openvino.Core()
    made = core.read_model(model.SerializeToString())
    if samples is not None:
        made = quantize(made, samples)
    openvino.save_model(made, str(target), compress_to_fp16=False)
    floats = Counter() if samples is None else left_in_float(target)
    return Written((target, target.with_suffix(".bin")), floats)


def quantize(model: Any, samples: Sequence[Sequence[Tensor]]) -> Any:
    """The model with weights and activations of 8 bits, weights with a scale per channel.

    NNCF's own choice of what to quantise: what it knows to be sensitive stays in float.

    Args:
        samples: what the model takes, for images that activations are scaled by.
    """
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix

    nncf.set_log_level(logging.ERROR)
    given = [[tensor.numpy() for tensor in tensors] for tensors in samples]
    # without VNNI sums of 8-bit products saturate
    fix = OverflowFix.DISABLE if has_int8_products() else OverflowFix.ENABLE
    with contextlib.redirect_stdout(io.StringIO()):  # progress bars
        return nncf.quantize(
            model,
            nncf.Dataset(given),
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(given),
            advanced_parameters=AdvancedQuantizationParameters(overflow_fix=fix),
        )


def left_in_float(path: Path) -> Counter[str]:
    """Operators that OpenVINO runs in float on this processor, by type."""
    found: Counter[str] = Counter()
    for node in _compile(path).get_runtime_model().get_ordered_ops():
        about = node.get_rt_info()
        kind, precision = (about[key].astype(str) for key in ("layerType", "runtimePrecision"))
        if precision.startswith("f") and kind not in MOVING:
            found[kind] += 1
    return found


openvino, int8 = (
    partial(ExportingRuntime, mode, "openvino", "openvino", needs, DEVICE, open_session, write)
    for mode, needs in (("openvino", NEEDS), ("openvino-int8", (*NEEDS, "nncf")))
)
