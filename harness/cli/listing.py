"""`harness list` and `harness describe`: what the plugins offer."""

from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer

from harness.cli.options import Plugins


def list_(
    kind: Annotated[
        str | None, typer.Argument(help="backbone, neck, meter, ... [default: all]")
    ] = None,
    plugins: Plugins = [],  # noqa: B006
) -> None:
    """List everything that a manifest can choose by name."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from harness.cli.planning import load_registry
    from harness.errors import UserError, near_names

    registry = load_registry(plugins)
    if kind is not None and kind not in registry.kinds():
        raise UserError(f"there is no kind '{kind}'", hint=near_names(kind, registry.kinds()))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("kind", "name", "what it is", "plugin"):
        table.add_column(title, no_wrap=title != "what it is")
    for entry in registry.entries(kind):
        d = entry.declaration
        table.add_row(d.kind, d.name, d.summary, f"[dim]{entry.provider.name}[/]")
    for failed in registry.failed if kind is None else ():
        table.add_row("[red]failed[/]", failed.name, escape(failed.error), "")
    Console().print(table)


def describe(
    name: Annotated[str, typer.Argument(help="Name of a part, detector, dataset or meter.")],
    plugins: Plugins = [],  # noqa: B006
) -> None:
    """Show a part's parameters with their types and defaults, and who provides it."""
    import inspect

    from rich.console import Console

    from harness.cli.planning import load_registry
    from harness.errors import UserError, near_names

    registry = load_registry(plugins)
    found = [e for e in registry.entries() if e.declaration.name == name]
    if not found:
        known = [e.declaration.name for e in registry.entries()]
        raise UserError(f"nothing is called '{name}'", hint=near_names(name, known))
    console = Console()
    for entry in found:
        d = entry.declaration
        console.print(f"[bold]{d.name}[/]  {d.kind}, by plugin {entry.provider}", highlight=False)
        console.print(f"{d.summary}\ntarget: {d.target}", highlight=False)
        if d.params.__doc__:
            console.print(
                f"\n{inspect.cleandoc(d.params.__doc__)}\n", highlight=False, markup=False
            )
        for field, info in d.params.model_fields.items():
            default = (
                "required"
                if info.is_required()
                else f"= {info.get_default(call_default_factory=True)!r}"
            )
            note = f"  {info.description}" if info.description else ""
            kind = _plain(info.annotation)
            console.print(f"  {field}: {kind} {default}{note}", highlight=False, markup=False)


def _plain(annotation: Any) -> str:
    """A type as a reader wants it: without the constraints that pydantic checks."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    arguments = [_plain(a) for a in get_args(annotation) if a is not Ellipsis]
    if get_origin(annotation) is Literal:
        return " | ".join(map(repr, get_args(annotation)))
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join(arguments)
    if arguments:
        return f"{get_origin(annotation).__name__} of {', '.join(dict.fromkeys(arguments))}"
    return "null" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))
