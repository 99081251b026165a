"""Multiply-adds and activations by fvcore's rules (https://github.com/facebookresearch/fvcore).

fvcore traces the network and counts by operator: a fused multiply-add is one, and
normalisation, pooling and upsampling count too, so its figure lies above `macs_paper`.
"""

import math
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from typing import Any

from torch import Tensor, nn

from harness.data.batch import Inputs
from harness.model.detector import Detector
from harness.plugin.metrics import Finding
from harness.records.measurement import Measurement
from harness.stages.inputs import CostInput
from harness_plugins.meters.roles import input_conditions, measure_by_role

with warnings.catch_warnings():
    # it scripts a loss at import, which newer versions of torch call deprecated
    warnings.simplefilter("ignore", FutureWarning)
    warnings.simplefilter("ignore", DeprecationWarning)
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
    from fvcore.nn.jit_analysis import JitModelAnalysis

PREFIX = "detector."


class FvcoreMeter:
    """Meter of the stage `cost` around one of fvcore's analyses.

    A network that the tracer cannot follow gives one NaN that says why, so that the stage's
    other counts are not lost with it.
    """

    def __init__(self, metric: str, analysis: type[JitModelAnalysis]) -> None:
        self.metric, self.analysis = metric, analysis

    def __call__(self, detector: Detector, given: CostInput) -> list[Measurement]:
        inputs = detector.preprocess([given.image])
        conditions = {"counter": f"fvcore {version('fvcore')}", **input_conditions(inputs.pixels)}
        try:
            analysis = analyze(detector, inputs, self.analysis)
        except (RuntimeError, TypeError, ValueError) as error:
            return [self._untraceable(error, conditions)]
        conditions |= self.describe(analysis)
        counts = own_counts(analysis)
        return measure_by_role(self.metric, counts, detector, conditions=conditions)

    def describe(self, analysis: JitModelAnalysis) -> dict[str, Any]:
        """Further conditions."""
        return {}

    def _untraceable(self, error: Exception, conditions: dict[str, Any]) -> Measurement:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        return Measurement(
            self.metric,
            math.nan,
            conditions=conditions,
            warnings=(Finding("not_traced", params={"reason": reason}),),
        )


class MacsFvcore(FvcoreMeter):
    """`macs_fvcore` in MMACs; operators that fvcore does not know are listed and count zero."""

    def __init__(self) -> None:
        super().__init__("macs_fvcore", FlopCountAnalysis)

    def describe(self, analysis: JitModelAnalysis) -> dict[str, Any]:
        return {"unsupported_ops": dict(sorted(analysis.unsupported_ops().items()))}


class Activations(FvcoreMeter):
    """`activations` in M: elements that convolutions and matrix products put out."""

    def __init__(self) -> None:
        super().__init__("activations", ActivationCountAnalysis)


class NetworkOfPixels(nn.Module):
    """`detector.network` as the tracer wants it: tensor in, tensors out."""

    def __init__(self, detector: Detector, inputs: Inputs) -> None:
        super().__init__()
        self.detector, self.inputs = detector, inputs
        self.training = detector.training

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        given = Inputs(pixels, self.inputs.sizes, self.inputs.scales, self.inputs.image_sizes)
        return tuple(tensors(self.detector.network(given)))


def analyze(detector: Detector, inputs: Inputs, kind: type[JitModelAnalysis]) -> JitModelAnalysis:
    """Trace the network once and count; the detector's hooks stay as they are."""
    network = NetworkOfPixels(detector, inputs)
    analysis = kind(network, (inputs.pixels,))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with kept_hooks(network):
        analysis.tracer_warnings("none").total()
    return analysis


@contextmanager
def kept_hooks(model: nn.Module) -> Iterator[None]:
    """Takes away the hooks that fvcore leaves behind when a trace fails."""
    tables = [t for m in model.modules() for t in (m._forward_pre_hooks, m._forward_hooks)]
    before = [set(table) for table in tables]
    try:
        yield
    finally:
        for table, known in zip(tables, before, strict=True):
            for key in set(table) - known:
                del table[key]


def own_counts(analysis: JitModelAnalysis) -> dict[str, int]:
    """Count of each module without its children, by name within the detector."""
    totals = {name: int(total) for name, total in analysis.by_module().items()}
    own = Counter(totals)
    for name, total in totals.items():
        if name:
            own[name.rpartition(".")[0]] -= total
    return {name.removeprefix(PREFIX): count for name, count in own.items() if count}


def tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor in nested dataclasses, mappings and sequences."""
    if isinstance(value, Tensor):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from tensors(getattr(value, field.name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors(item)
