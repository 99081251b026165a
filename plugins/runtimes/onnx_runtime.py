"""ONNX Runtime."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harness_plugins.runtimes.exported import ExportingRuntime, Session

if TYPE_CHECKING:
    from onnx import ModelProto

PROVIDER = "CPUExecutionProvider"
NEEDS = ("onnx", "onnxscript", "onnxruntime")


def open_session(model: "ModelProto") -> Session:
    """A session on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    session: Any = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=[PROVIDER]
    )
    names = [one.name for one in session.get_inputs()]

    def run(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        given = {name: t.numpy() for name, t in zip(names, tensors, strict=True)}
        return [torch.from_numpy(found) for found in session.run(None, given)]

    return run


def write(model: "ModelProto", path: Path) -> list[str]:
    """`path`.onnx"""
    import onnx

    target = path.with_name(f"{path.name}.onnx")
    onnx.save(model, str(target))
    return [target.name]


onnxruntime, int8 = (
    partial(ExportingRuntime, mode, "onnxruntime", "onnx", NEEDS, PROVIDER, open_session, write)
    for mode in ("onnxruntime", "onnxruntime-int8")
)
