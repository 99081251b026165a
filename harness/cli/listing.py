"""`harness list` and `harness describe`: what the plugins offer."""

from typing import Annotated

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
        raise UserError(f"there is no kind '{kind}'", mend=near_names(kind, registry.kinds()))
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
    from rich.console import Console

    from harness.cli.planning import load_registry
    from harness.errors import UserError, near_names

    registry = load_registry(plugins)
    found = [e for e in registry.entries() if e.declaration.name == name]
    if not found:
        known = [e.declaration.name for e in registry.entries()]
        raise UserError(f"nothing is called '{name}'", mend=near_names(name, known))
    console = Console()
    for entry in found:
        d = entry.declaration
        console.print(f"[bold]{d.name}[/]  {d.kind}, by plugin {entry.provider}", highlight=False)
        console.print(f"{d.summary}\ntarget: {d.target}", highlight=False)
        for field, info in d.params.model_fields.items():
            default = (
                "required"
                if info.is_required()
                else f"= {info.get_default(call_default_factory=True)!r}"
            )
            about = f"  {info.description}" if info.description else ""
            kind = str(info.annotation).replace("<class '", "").replace("'>", "")
            console.print(f"  {field}: {kind} {default}{about}", highlight=False, markup=False)
