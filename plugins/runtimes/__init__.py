"""Runtimes that detectors ship on: exported, run by ONNX Runtime, OpenVINO or ExecuTorch."""

from collections.abc import Sequence

from harness.plugin import Mode, hookimpl

PREPARING, QUANTISING = "exporting", "exporting and quantising"


@hookimpl
def harness_modes() -> Sequence[Mode]:
    return [
        Mode(
            "onnxruntime",
            "harness_plugins.runtimes.onnx_runtime:onnxruntime",
            summary="exported, in ONNX Runtime on the CPU; needs harness[onnx]",
            preparing=PREPARING,
        ),
        Mode(
            "onnxruntime-int8",
            "harness_plugins.runtimes.onnx_runtime:int8",
            summary="the same in 8 bits, quantised on training images; needs harness[onnx]",
            preparing=QUANTISING,
            quantized=True,
        ),
        Mode(
            "openvino",
            "harness_plugins.runtimes.openvino_runtime:openvino",
            summary="exported, in OpenVINO on the CPU; needs harness[openvino]",
            preparing=PREPARING,
        ),
        Mode(
            "openvino-int8",
            "harness_plugins.runtimes.openvino_runtime:int8",
            summary="the same in 8 bits, quantised on training images; needs harness[openvino]",
            preparing=QUANTISING,
            quantized=True,
        ),
        Mode(
            "executorch",
            "harness_plugins.runtimes.executorch_runtime:executorch",
            summary="exported, in ExecuTorch with XNNPACK on the CPU; needs harness[executorch]",
            preparing=PREPARING,
        ),
        Mode(
            "executorch-int8",
            "harness_plugins.runtimes.executorch_runtime:int8",
            summary="the same in 8 bits, quantised on training images; needs harness[executorch]",
            preparing=QUANTISING,
            quantized=True,
        ),
    ]
