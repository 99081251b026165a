"""From pydantic's errors to one user error with a place and a hint."""

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from harness.errors import UserError, near_names
from harness.manifest.reader import Key, KeyPath, Place
from harness.plugin.declarations import Declaration


def invalid(error: ValidationError, model: type[BaseModel], place: Place) -> UserError:
    """The first mistake that pydantic found, as one line; `place(path)` says where it is."""
    errors = error.errors()
    # a misspelt key says more than the absence of the right one
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    missing = [e for e in errors if e["type"] == "missing" and e["loc"][:-1] == first["loc"][:-1]]
    told = missing if first in missing else [first]
    others = {place(_key_path(e)) for e in errors} - {place(_key_path(e)) for e in told}
    more = f" (and {len(others)} more)" if others else ""
    path = _key_path(first)
    if first["type"] == "extra_forbidden":
        hint = near_names(str(path[-1]), _fields_at(model, path[:-1]))
        return UserError(f"unknown key '{path[-1]}'{more}", where=place(path), hint=hint)
    if first["type"] == "missing":
        names = [f"'{_key_path(e)[-1]}'" for e in missing]
        are = "is" if len(names) == 1 else "are"
        return UserError(f"{', '.join(names)} {are} missing{more}", where=place(path[:-1]))
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if first["type"] == "model_type":
        message = "should be a mapping"
    found = repr(first["input"])
    shown = "" if isinstance(first["input"], dict) else f", not {found[:60]}"
    return UserError(f"{message}{shown}{more}", where=place(path))


def check_params(
    declaration: Declaration, given: Mapping[str, Any], place: Place
) -> dict[str, Any]:
    """The params of a part, complete; `place(path)` says where one of them stands.

    Raises:
        UserError: the part refuses them.
    """
    try:
        return declaration.params.model_validate(given).model_dump()
    except ValidationError as error:
        raise invalid(error, declaration.params, place) from error


def _key_path(error: Any) -> KeyPath:
    return tuple(key for key in error["loc"] if key != "[key]")


def _fields_at(model: Any, path: Iterable[Key]) -> list[str]:
    """Names of the fields of the model at `path` below `model`."""
    for key in path:
        if isinstance(model, type) and issubclass(model, BaseModel):
            model = model.model_fields[str(key)].annotation if key in model.model_fields else None
        else:  # inside dict[str, X] or tuple[X, ...]
            model = next((a for a in reversed(get_args(model)) if a is not Ellipsis), None)
        choices = [a for a in get_args(model) if isinstance(a, type) and issubclass(a, BaseModel)]
        if choices and type(None) in get_args(model):
            model = choices[0]
    if isinstance(model, type) and issubclass(model, BaseModel):
        return list(model.model_fields)
    return []
