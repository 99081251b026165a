"""Whether a function compiles as one graph, and where it does not."""

import linecache
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch._dynamo.exc import TorchDynamoException
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from harness.modes.compiling import separate


def find_break(function: Callable[[Any], Any], given: Any) -> str | None:
    """The first place at which compiling breaks, None where there is none.

    Nothing is generated: Dynamo alone decides what a graph holds, so this takes a moment.
    """
    compiled = torch.compile(separate(function), fullgraph=True, backend="eager", dynamic=False)
    try:
        compiled(given)
    except (TorchDynamoException, GuardOnDataDependentSymNode) as error:
        return _tell(error)
    return None


def _tell(error: Exception) -> str:
    reason = getattr(error, "gb_type", None) or str(error).partition("\n")[0]
    stack = list(getattr(error, "real_stack", None) or ())
    if not stack:
        return f"compiling breaks: {reason}"
    place = stack[-1]
    code = linecache.getline(place.filename, place.lineno or 0).strip()
    where = f"line {place.lineno} of {Path(place.filename).name}"
    return f"compiling breaks at {where}, `{code}`: {_in_words(str(reason), code)}"


def _in_words(reason: str, code: str) -> str:
    """Dynamo's name of a break, in the words of who wrote the line where they are known."""
    lower = reason.lower()
    if not any(word in lower for word in ("tolist", ".item", "data-dependent", "data dependent")):
        return reason
    if re.search(r"\bfor\b.*\bin\b|^while ", code):
        return f"a Python loop over the values of a tensor ({reason})"
    if code.startswith(("if ", "elif ", "assert ")):
        return f"a branch on the values of a tensor ({reason})"
    return f"reads the values of a tensor ({reason})"
