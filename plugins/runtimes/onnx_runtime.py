"""ONNX Runtime."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harness_plugins.runtimes.exported import (
    ExportingRuntime,
    NamedTime,
    Profiled,
    Session,
    Written,
)
from harness_plugins.runtimes.onnx_model import export, module_paths
from harness_plugins.runtimes.quantize import left_in_float, quantize
from harness_plugins.runtimes.tracing import Traced

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

PROVIDER = "CPUExecutionProvider"
KERNEL, RUN = "_kernel_time", "model_run"  # of the profile's events
BLOCKED, REORDERING = "_nchwc", ("ReorderInput", "ReorderOutput")
NUMBERED = re.compile(r"_token_\d+$")
# that quantisation adds to a value's name, the outermost first
QUANTIZED = ("_QuantizeLinear_Input", "_QuantizeLinear_Output", "_DequantizeLinear_Output")
NEEDS = ("onnx", "onnxscript", "onnxruntime")


def open_session(path: Path, precision: str) -> Session:
    """A session on the CPU."""
    return _running(_start(path))


def _start(path: Path, **settings: object) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # torch works between the segments, on the same cores: threads that wait by spinning would
    # hold them, and whole detections take twice as long
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors
    for name, value in settings.items():
        setattr(options, name, value)
    return onnxruntime.InferenceSession(str(path), options, providers=[PROVIDER])


def _running(session: Any) -> Session:
    names = [one.name for one in session.get_inputs()]

    def run(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        given = {name: t.numpy() for name, t in zip(names, tensors, strict=True)}
        return [torch.from_numpy(found) for found in session.run(None, given)]

    return run


@contextmanager
def open_profiled(path: Path, precision: str) -> Iterator[Profiled]:
    """A session whose nodes are timed, each named by the values of the file that it stands for."""
    import onnx

    with TemporaryDirectory(prefix="harness-profile-") as folder:
        optimized = Path(folder) / "optimized.onnx"
        session = _start(
            path,
            enable_profiling=True,
            profile_file_prefix=str(Path(folder) / "profile"),
            optimized_model_filepath=str(optimized),
        )

        def times() -> list[list[NamedTime]]:
            events = json.loads(Path(session.end_profiling()).read_bytes())
            written, run = (onnx.load(str(one)).graph for one in (path, optimized))
            return _by_run(events, stands_for(written, run))

        yield Profiled(_running(session), times)


def stands_for(written: "GraphProto", optimized: "GraphProto") -> dict[str, tuple[str, ...]]:
    """Nodes of an optimised graph -> values of the file that they compute.

    The file knows the output of a node that is left or was put in the place of others, or its name,
    or the beginning of that ("node_silu/QuickGeluFusion/", "node_Conv_884_token_17"); where memory
    is laid out in blocks, the output is part of the name. What was fused to it is behind that:
    values that no other node computes. A node that only changes the layout stands for nothing.
    """
    makers = {value: node for node in written.node for value in node.output}
    outputs = {node.name: node.output for node in written.node}

    def own(node: "NodeProto") -> list[str]:
        if node.op_type in REORDERING:
            return []
        named = outputs.get(NUMBERED.sub("", node.name.partition("/")[0]), ())
        return [
            value
            for value in (*node.output, node.name.removesuffix(BLOCKED), *named)
            if value in makers
        ]

    computed = {value for node in optimized.node for value in own(node)}

    def behind(values: Iterable[str]) -> Iterator[str]:
        for value in values:
            yield value
            inputs = makers[value].input
            yield from behind(one for one in inputs if one in makers and one not in computed)

    return {
        node.name: tuple(dict.fromkeys(_plain(value) for value in behind(own(node))))
        for node in optimized.node
    }


def _by_run(
    events: Sequence[Mapping[str, Any]], values: Mapping[str, tuple[str, ...]]
) -> list[list[NamedTime]]:
    """Node times of each run, the end of which is an event of its own."""
    runs: list[list[NamedTime]] = []
    nodes: list[NamedTime] = []
    for event in events:
        name = event["name"]
        if event["cat"] == "Node" and name.endswith(KERNEL):
            nodes.append((values.get(name.removesuffix(KERNEL), ()), event["dur"] / 1e3))
        elif name == RUN:
            runs.append(nodes)
            nodes = []
    return runs


def _plain(value: str) -> str:
    """A value's name before it was quantised."""
    for suffix in QUANTIZED:
        value = value.removesuffix(suffix)
    return value


def write(traced: Traced, path: Path, samples: Sequence[Sequence[Tensor]] | None) -> Written:
    """`path`.onnx"""
    import onnx

    exported = export(traced)
    made, floats = exported.model, Counter[str]()
    modules = module_paths(made)
    if samples is not None:
        made = quantize(made, exported.used_of(samples))
        floats = left_in_float(made)
    target = path.with_name(f"{path.name}.onnx")
    onnx.save(made, str(target))
    return Written((target,), exported.used, floats, modules)


onnxruntime, int8 = (
    partial(
        ExportingRuntime,
        mode,
        "onnxruntime",
        "onnx",
        NEEDS,
        PROVIDER,
        open_session,
        write,
        open_profiled,
    )
    for mode in ("onnxruntime", "onnxruntime-int8")
)
