"""`harness list` and `harness describe`: what the plugins offer."""

from collections.abc import Iterator
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

from harness.cli.options import Plugins

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from harness.plugin.metrics import MetricSpec
    from harness.plugin.registry import Registry

METRIC = "metric"


def list_(
    kind: Annotated[
        str | None, typer.Argument(help="backbone, neck, meter, metric, ... [default: all]")
    ] = None,
    plugins: Plugins = [],  # noqa: B006
) -> None:
    """List what the plugins offer; 'metric' lists all that is measured."""
    from rich.console import Console
    from rich.text import Text

    from harness.cli.planning import load_registry
    from harness.errors import UserError, near_names
    from harness.report.terminal import Grid

    registry = load_registry(plugins)
    kinds = sorted([*registry.kinds(), METRIC])
    if kind is not None and kind not in kinds:
        raise UserError(f"there is no kind '{kind}'", hint=near_names(kind, kinds))
    rows: dict[str, list[tuple[str, str, str]]] = {name: [] for name in kinds}
    for entry in registry.entries():
        d = entry.declaration
        rows[d.kind].append((d.name, d.summary or getattr(d, "title", ""), entry.provider.name))
    rows[METRIC] = list(_metrics(registry))
    rows["failed"] = [(failed.name, failed.error, "") for failed in registry.failed]
    console = Console()
    every = [*registry.kinds(), *(["failed"] if registry.failed else [])]
    for name in every if kind is None else [kind]:
        grid = Grid(["", ""], name)
        for shown, what, by in rows[name]:
            grid.add(shown, Text.assemble(what, (f" · {by}" if by else "", "dim")))
        console.print(grid)
        console.print()


def _metrics(registry: "Registry") -> "Iterator[tuple[str, str, str]]":
    """Name, what it is, and who writes it."""
    from harness.plugin.declarations import Meter
    from harness.stages.metrics import METRICS

    written = {name: ("the stages", spec) for name, spec in METRICS.specs.items()}
    for entry in registry.entries("meter"):
        meter = entry.declaration
        assert isinstance(meter, Meter)
        written |= {spec.name: (f"meter {meter.name}", spec) for spec in meter.specs()}
    for name, (by, spec) in sorted(written.items()):
        yield name, _tell(spec), by


def _tell(spec: "MetricSpec") -> str:
    """ "latency (ms), time, lower is better, ranks as cost; also called 'latency'"."""
    from harness.report.format import heading

    told = [heading(spec), spec.kind]
    told += [f"{spec.better} is better"] if spec.better else []
    told += [f"ranks detectors as {spec.role}"] if spec.role else []
    told += [f"short: {' or '.join(spec.short)}"] if spec.short else []
    return ", ".join(told) + (f": {spec.summary}" if spec.summary else "")


def describe(
    name: Annotated[str, typer.Argument(help="Name of a part, detector, dataset or meter.")],
    plugins: Plugins = [],  # noqa: B006
) -> None:
    """Show a part's parameters with their types and defaults, and who provides it."""
    import inspect

    from rich.console import Console
    from rich.text import Text

    from harness.cli.planning import load_registry
    from harness.errors import UserError, near_names
    from harness.report.terminal import say

    registry = load_registry(plugins)
    found = [e for e in registry.entries() if e.declaration.name == name]
    if not found:
        known = [e.declaration.name for e in registry.entries()]
        raise UserError(f"nothing is called '{name}'", hint=near_names(name, known))
    console = Console(highlight=False)
    for entry in found:
        d = entry.declaration
        console.print(Text.assemble((d.name, "bold"), f"  {d.kind}, by plugin {entry.provider}"))
        say(console, [d.summary, d.about, f"target: {d.target}"])
        if d.params.__doc__:
            console.print(Text(f"\n{inspect.cleandoc(d.params.__doc__)}\n"))
        say(console, (_field(key, info) for key, info in d.params.model_fields.items()))


def _field(name: str, info: "FieldInfo") -> str:
    default = "required"
    if not info.is_required():
        default = f"= {info.get_default(call_default_factory=True)!r}"
    note = f"  {info.description}" if info.description else ""
    return f"  {name}: {_plain(info.annotation)} {default}{note}"


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
