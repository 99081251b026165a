"""The ONNX model of a traced segment."""

import re
from ast import literal_eval
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.errors import CellError
from harness_plugins.runtimes.tracing import Traced, first_line, quiet

if TYPE_CHECKING:
    from onnx import ModelProto

OPERATOR = re.compile(r"OpOverload\(op='([\w.]+)'")
SCOPES, OWNER = "pkg.torch.onnx.name_scopes", "owner."


@dataclass(frozen=True)
class Exported:
    """A model and how its tensors lie in what the segment takes.

    Attributes:
        used: places, among the tensors that the segment takes, of the model's inputs.
    """

    model: "ModelProto"
    used: tuple[int, ...]

    def used_of(self, samples: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
        """What the model takes, of what the segment takes."""
        return [[tensors[i] for i in self.used] for tensors in samples]


def export(traced: Traced) -> Exported:
    """The ONNX model of a segment, checked.

    Raises:
        CellError: it cannot become one; why, and where in the code.
    """
    import onnx

    with torch.no_grad(), quiet():
        try:
            made = torch.onnx.export(traced.program, dynamo=True, verbose=False)
        except torch.onnx.OnnxExporterError as error:
            why = _obstacle(error, traced.program)
            raise CellError(f"{traced.name} cannot become ONNX: {why}") from error
    assert made is not None
    model: ModelProto = made.model_proto
    used = _drop_unused(model)
    onnx.checker.check_model(model, full_check=True)
    return Exported(model, used)


def module_paths(model: "ModelProto") -> dict[str, str]:
    """Names of weights, of nodes and of the values that they compute -> path of their module.

    As far as the exporter says; what a method of the owner computes by itself has no module.
    """
    weights = [one.name for one in model.graph.initializer if one.name.startswith(OWNER)]
    found = {name: name.removeprefix(OWNER).rpartition(".")[0] for name in weights}
    for node in model.graph.node:
        told = {entry.key: entry.value for entry in node.metadata_props}
        scopes = [s for s in literal_eval(told.get(SCOPES, "[]")) if s.startswith(OWNER)]
        if scopes:
            path = scopes[-1].removeprefix(OWNER)
            found |= dict.fromkeys((node.name, *node.output), path)
    return found


def _drop_unused(model: "ModelProto") -> tuple[int, ...]:
    """Remove inputs that nothing reads; which of them remain."""
    graph = model.graph
    read = {name for node in graph.node for name in node.input} | {o.name for o in graph.output}
    used = tuple(i for i, one in enumerate(graph.input) if one.name in read)
    kept = [graph.input[i] for i in used]
    del graph.input[:]
    graph.input.extend(kept)
    return used


def _obstacle(error: BaseException, program: torch.export.ExportedProgram) -> str:
    """The operator that ONNX lacks and the part that calls it, else what the exporter says."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    for one in reversed(chain):
        if found := OPERATOR.search(str(one)):
            return f"it has no operator for {found[1]}{_caller(found[1], program)}"
    return first_line(chain[-1])


def _caller(operator: str, program: torch.export.ExportedProgram) -> str:
    for node in program.graph.nodes:
        if node.op == "call_function" and str(node.target).startswith(operator):
            stack = list(node.meta.get("nn_module_stack", {}).values())
            path = str(stack[-1][0]).removeprefix("owner.") if stack else ""
            return f", which {path} calls" if path else ""
    return ""
