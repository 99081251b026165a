"""One segment of a detector as an ONNX model of fixed shapes."""

import re
import traceback
import warnings
from ast import literal_eval
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from harness.errors import CellError

if TYPE_CHECKING:
    from onnx import ModelProto

OPERATOR = re.compile(r"OpOverload\(op='([\w.]+)'")
TORCH = str(Path(torch.__file__).parent)
SCOPES, OWNER = "pkg.torch.onnx.name_scopes", "owner."


@dataclass(frozen=True)
class Exported:
    """A model and how its tensors lie in what the segment takes and returns.

    Attributes:
        used: places, among the tensors that the segment takes, of the model's inputs.
        like: what the segment returned for the tensors that it was exported with.
    """

    model: "ModelProto"
    used: tuple[int, ...]
    like: Any


class Flat(nn.Module):
    """A function of structures as a module from tensors to tensors.

    Args:
        owner: has the function's weights.
        like: arguments of the structure that `function` takes.
    """

    def __init__(self, owner: nn.Module, function: Callable[..., Any], like: Any) -> None:
        super().__init__()
        self.owner, self.function, self.like = owner, function, like
        self.eval()

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensors_of(self.function(*fill(self.like, tensors))))


def tensors_of(value: Any) -> list[Tensor]:
    """Those in a structure of lists, tuples, dicts and dataclasses, in order."""
    found: list[Tensor] = []
    _replace(value, found.append)
    return found


def fill(like: Any, tensors: Sequence[Tensor]) -> Any:
    """The same structure with other tensors; of functions in it, which only losses call, None."""
    each: Iterator[Tensor] = iter(tensors)
    return _replace(like, lambda _: next(each))


def _replace(value: Any, replace: Callable[[Tensor], Any]) -> Any:
    if isinstance(value, Tensor):
        return replace(value)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: _replace(getattr(value, f.name), replace) for f in fields(value)}
        return type(value)(**parts)
    if isinstance(value, dict):
        return {key: _replace(one, replace) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_replace(one, replace) for one in value)
    return None if callable(value) else value


def export(name: str, owner: nn.Module, function: Callable[..., Any], given: Any) -> Exported:
    """The ONNX model of `function(*given)`, checked.

    Args:
        name: of the segment, for errors.
        owner: has the function's weights.

    Raises:
        CellError: it cannot be exported; why, and where in the code.
    """
    import onnx

    flat, tensors = Flat(owner, function, given), tuple(tensors_of(given))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporters warn of their own code
        like = function(*given)
        try:
            program = torch.export.export(flat, tensors, strict=False)
        except Exception as error:  # of many classes
            raise CellError(f"torch cannot export {name}: {_first_line(error)}") from error
        try:
            made = torch.onnx.export(program, dynamo=True, verbose=False)
        except torch.onnx.OnnxExporterError as error:
            raise CellError(f"{name} cannot become ONNX: {_obstacle(error, program)}") from error
    assert made is not None
    model: ModelProto = made.model_proto
    used = _drop_unused(model)
    onnx.checker.check_model(model, full_check=True)
    return Exported(model, used, like)


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


def _first_line(error: BaseException) -> str:
    """What torch says, and the line outside torch that it speaks of."""
    said = str(error).strip().splitlines()
    own = [f for f in traceback.extract_tb(error.__traceback__) if TORCH not in f.filename]
    inside = [f for f in own if f.filename != __file__]
    where = f" ({Path(inside[-1].filename).name}:{inside[-1].lineno})" if inside else ""
    return f"{said[0] if said else type(error).__name__}{where}"


def _obstacle(error: BaseException, program: torch.export.ExportedProgram) -> str:
    """The operator that ONNX lacks and the part that calls it, else what the exporter says."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    for one in reversed(chain):
        if found := OPERATOR.search(str(one)):
            return f"it has no operator for {found[1]}{_caller(found[1], program)}"
    return _first_line(chain[-1])


def _caller(operator: str, program: torch.export.ExportedProgram) -> str:
    for node in program.graph.nodes:
        if node.op == "call_function" and str(node.target).startswith(operator):
            stack = list(node.meta.get("nn_module_stack", {}).values())
            path = str(stack[-1][0]).removeprefix("owner.") if stack else ""
            return f", which {path} calls" if path else ""
    return ""
