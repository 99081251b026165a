"""One segment of a detector as torch exports it: a program of fixed shapes."""

import logging
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import CellError

TORCH = str(Path(torch.__file__).parent)


@dataclass(frozen=True)
class Traced:
    """A segment that a runtime's format can be made from.

    Attributes:
        name: of the segment, for errors.
        program: from tensors to tensors, with the segment's weights.
        like: what the segment returned for the tensors that it was exported with.
    """

    name: str
    program: torch.export.ExportedProgram
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


def trace(name: str, owner: nn.Module, function: Callable[..., Any], given: Any) -> Traced:
    """The program of `function(*given)`.

    Args:
        name: of the segment.
        owner: has the function's weights.

    Raises:
        CellError: it cannot be exported; why, and where in the code.
    """
    flat, tensors = Flat(owner, function, given), tuple(tensors_of(given))
    with torch.no_grad(), quiet():
        like = function(*given)
        try:
            program = torch.export.export(flat, tensors, strict=False)
        except Exception as error:  # of many classes
            raise CellError(f"torch cannot export {name}: {first_line(error)}") from error
    return Traced(name, program, like)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings that exporters give and log of their own code."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def first_line(error: BaseException) -> str:
    """What torch says, and the line outside torch that it speaks of."""
    said = str(error).strip().splitlines()
    own = [f for f in traceback.extract_tb(error.__traceback__) if TORCH not in f.filename]
    inside = [f for f in own if f.filename != __file__]
    where = f" ({Path(inside[-1].filename).name}:{inside[-1].lineno})" if inside else ""
    return f"{said[0] if said else type(error).__name__}{where}"
