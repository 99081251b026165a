"""Runtimes that detectors ship on: graphs exported to ONNX, run by ONNX Runtime or OpenVINO."""

from collections.abc import Sequence

from harness.plugin import Mode, hookimpl

PREPARING = "exporting"


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
            preparing="exporting and quantising",
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
            preparing="exporting and quantising",
            quantized=True,
        ),
    ]
