"""OpenVINO."""

import contextlib
import io
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.errors import CellError
from harness.modes.precision import lacking
from harness_plugins.runtimes.exported import (
    ExportingRuntime,
    NamedTime,
    Profiled,
    Session,
    Written,
)
from harness_plugins.runtimes.onnx_model import export, module_paths
from harness_plugins.runtimes.processor import has_int8_products
from harness_plugins.runtimes.tracing import Traced

DEVICE = "CPU"
MOVING = ("Input", "Output", "Const", "Reorder")  # what computes nothing
HINTS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
CAPABILITIES = {"bfloat16": "BF16", "float16": "FP16"}
NEEDS = ("onnx", "onnxscript", "openvino")


def open_session(path: Path, precision: str) -> Session:
    """A request on the CPU. What it returns lies in its own memory, valid until the next call."""
    return _running(_compile(path, precision))[0]


def _running(compiled: Any) -> tuple[Session, Any]:
    """A session and the request that it makes."""
    request = compiled.create_infer_request()

    def run(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        given = {place: t.numpy() for place, t in enumerate(tensors)}
        found = request.infer(given, share_inputs=True, share_outputs=True)
        return [torch.from_numpy(found[place]) for place in range(len(compiled.outputs))]

    return run, request


@contextmanager
def open_profiled(path: Path, precision: str) -> Iterator[Profiled]:
    """A request whose nodes are timed, each named by the layers that were fused to it."""
    compiled = _compile(path, precision, PERF_COUNT=True)
    session, request = _running(compiled)
    # what OpenVINO or NNCF made of a node is called "node_conv2d/WithoutBiases" and the like
    layers = {
        op.get_friendly_name(): tuple(
            name.partition("/")[0] for name in _about(op, "originalLayersNames").split(",")
        )
        for op in compiled.get_runtime_model().get_ordered_ops()
    }
    runs: list[list[NamedTime]] = []

    def run(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        found = session(tensors)
        runs.append(
            [
                (layers.get(node.node_name, ()), node.real_time / timedelta(milliseconds=1))
                for node in request.profiling_info
                if node.status == node.Status.EXECUTED
            ]
        )
        return found

    yield Profiled(run, lambda: runs)


def _about(op: Any, key: str) -> str:
    """What a compiled model says of one of its nodes, "" where it does not."""
    known = op.get_rt_info()
    return str(known[key].astype(str)) if key in known else ""


def _compile(path: Path, precision: str = "float32", **more: object) -> Any:
    """
    Raises:
        CellError: OpenVINO computes in another precision.
    """
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": HINTS[precision],  # else 16 bits where the processor has them
        "PERFORMANCE_HINT": "LATENCY",
        **more,
    }
    core: Any = openvino.Core()
    made = core.compile_model(str(path), DEVICE, settings)
    own = made.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if own != HINTS[precision]:
        raise CellError(f"asked for {precision}, OpenVINO computes in {own} on this processor")
    return made


def lacking_precision(precision: str, device: torch.device) -> str | None:
    """Why OpenVINO does not compute in a precision here, None where it does.

    It says of itself that it has bfloat16 where it would emulate it: the processor is asked, too.
    """
    import openvino

    if precision not in HINTS:
        return f"OpenVINO has no {precision}"
    why = lacking(precision, device)
    if why is not None:
        return why
    core: Any = openvino.Core()
    known = core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
    return None if CAPABILITIES[precision] in known else f"OpenVINO has no {precision} here"


def write(traced: Traced, path: Path, samples: Sequence[Sequence[Tensor]] | None) -> Written:
    """`path`.xml and .bin, weights in float32 or quantised."""
    import openvino

    exported = export(traced)
    target = path.with_name(f"{path.name}.xml")
    core: Any = openvino.Core()
    made = core.read_model(exported.model.SerializeToString())
    if samples is not None:
        made = quantize(made, exported.used_of(samples))
    openvino.save_model(made, str(target), compress_to_fp16=False)
    floats = Counter[str]() if samples is None else left_in_float(target)
    paths = (target, target.with_suffix(".bin"))
    return Written(paths, exported.used, floats, module_paths(exported.model))


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
        kind, precision = (_about(node, key) for key in ("layerType", "runtimePrecision"))
        if precision.startswith("f") and kind not in MOVING:
            found[kind] += 1
    return found


openvino, int8 = (
    partial(
        ExportingRuntime,
        mode, "openvino", "openvino", needs, DEVICE, open_session, write, open_profiled, other,
    )
    for mode, needs, other in (
        ("openvino", NEEDS, lacking_precision),
        ("openvino-int8", (*NEEDS, "nncf"), None),
    )
)  # fmt: skip
