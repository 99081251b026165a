"""OpenVINO."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harness_plugins.runtimes.exported import ExportingRuntime, Session, Written

if TYPE_CHECKING:
    from onnx import ModelProto

DEVICE = "CPU"
NEEDS = ("onnx", "onnxscript", "openvino")


def open_session(path: Path) -> Session:
    """A request on the CPU. What it returns lies in its own memory, valid until the next call."""
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "f32",  # else 16 bits where the processor has them
        "PERFORMANCE_HINT": "LATENCY",
    }
    core: Any = openvino.Core()
    compiled = core.compile_model(str(path), DEVICE, settings)
    request = compiled.create_infer_request()

    def run(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        given = {place: t.numpy() for place, t in enumerate(tensors)}
        found = request.infer(given, share_inputs=True, share_outputs=True)
        return [torch.from_numpy(found[place]) for place in range(len(compiled.outputs))]

    return run


def write(model: "ModelProto", path: Path, samples: Sequence[Sequence[Tensor]] | None) -> Written:
    """`path`.xml and .bin, weights in float32."""
    import openvino

    target = path.with_name(f"{path.name}.xml")
    core: Any = openvino.Core()
    openvino.save_model(
        core.read_model(model.SerializeToString()), str(target), compress_to_fp16=False
    )
    return Written((target, target.with_suffix(".bin")))


openvino = partial(
    ExportingRuntime, "openvino", "openvino", "openvino", NEEDS, DEVICE, open_session, write
)
