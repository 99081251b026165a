"""ONNX Runtime."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harness_plugins.runtimes.exported import ExportingRuntime, Session, Written
from harness_plugins.runtimes.quantize import left_in_float, quantize

if TYPE_CHECKING:
    from onnx import ModelProto

PROVIDER = "CPUExecutionProvider"
NEEDS = ("onnx", "onnxscript", "onnxruntime")


def open_session(path: Path) -> Session:
    """A session on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    session: Any = onnxruntime.InferenceSession(str(path), options, providers=[PROVIDER])
    names = [one.name for one in session.get_inputs()]

    def run(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        given = {name: t.numpy() for name, t in zip(names, tensors, strict=True)}
        return [torch.from_numpy(found) for found in session.run(None, given)]

    return run


def write(model: "ModelProto", path: Path, samples: Sequence[Sequence[Tensor]] | None) -> Written:
    """`path`.onnx"""
    import onnx

    made = model if samples is None else quantize(model, samples)
    target = path.with_name(f"{path.name}.onnx")
    onnx.save(made, str(target))
    return Written((target,), Counter() if samples is None else left_in_float(made))


onnxruntime, int8 = (
    partial(ExportingRuntime, mode, "onnxruntime", "onnx", NEEDS, PROVIDER, open_session, write)
    for mode in ("onnxruntime", "onnxruntime-int8")
)
