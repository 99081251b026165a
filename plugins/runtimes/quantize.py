"""Static post-training quantisation of an ONNX model to 8 bits, by ONNX Runtime."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from torch import Tensor

from harness_plugins.runtimes.processor import has_int8_products

if TYPE_CHECKING:
    from onnx import ModelProto

CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")


def quantize(model: "ModelProto", samples: Sequence[Sequence[Tensor]]) -> "ModelProto":
    """The model with weights and activations of 8 bits, weights with a scale per channel.

    Args:
        samples: what the model takes, for images that activations are scaled by.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with TemporaryDirectory(prefix="harness-int8-") as name:
        prepared, made = Path(name) / "prepared.onnx", Path(name) / "int8.onnx"
        quant_pre_process(model, str(prepared))
        quantize_static(
            str(prepared),
            str(made),
            _reader([one.name for one in model.graph.input], samples),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            # without VNNI sums of 8-bit products saturate
            reduce_range=not has_int8_products(),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(str(made))


def left_in_float(model: "ModelProto") -> Counter[str]:
    """Operators that read no 8-bit tensor, by type."""
    exact = {
        name for node in model.graph.node if node.op_type in CONVERSIONS for name in node.output
    }
    return Counter(
        node.op_type
        for node in model.graph.node
        if node.op_type not in CONVERSIONS and not exact & set(node.input)
    )


def _reader(names: Sequence[str], samples: Sequence[Sequence[Tensor]]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    each: Iterator[Sequence[Tensor]] = iter(samples)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, Any] | None:
            tensors = next(each, None)
            if tensors is None:
                return None
            return {name: t.numpy() for name, t in zip(names, tensors, strict=True)}

    return Reader()
