"""`harness check-plugin`: do the parts of a plugin keep the contract of their kinds."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from harness.plugin.registry import Entry, Registry

STYLES = {"passes": "green", "not checked": "yellow", "wrong": "red"}


def check_plugin(
    plugins: Annotated[
        list[str],
        typer.Option("-p", "--plugin", metavar="MODULE|FILE.py", help="The plugin to check."),
    ],
    sets: Annotated[
        list[str],
        typer.Option(
            "--set", metavar="NAME.PARAM=VALUE", help="Check this part with a parameter of yours."
        ),
    ] = [],  # noqa: B006
) -> int:
    """Try out every part of a plugin: shapes, gradients, compiling, checkpoints, cost."""
    from rich.console import Console
    from rich.text import Text

    from harness.cli.planning import load_registry
    from harness.conformance.kit import check_entry
    from harness.errors import ExitCode
    from harness.report.terminal import Grid

    registry = load_registry(plugins)
    failed = [one for one in registry.failed if one.name in plugins]
    entries = _offered(registry, plugins, bool(failed))
    params = _read_params(sets, entries)
    grid = Grid(["what", "verdict", "found"])
    for one in failed:
        grid.add(one.name, Text("wrong", STYLES["wrong"]), f"does not load: {one.error}")
    wrong = bool(failed)
    for entry in entries:
        name = entry.declaration.name
        verdict = check_entry(entry.declaration, params.get(name, {}))
        wrong |= bool(verdict.problems)
        word = Text(verdict.word, STYLES[verdict.word])
        found = "\n".join(f"- {problem}" for problem in verdict.problems)
        grid.add(verdict.what, word, found or verdict.remark)
    Console().print(grid)
    return ExitCode.CELL_FAILED if wrong else ExitCode.OK


def _offered(registry: "Registry", plugins: list[str], some_failed: bool) -> "list[Entry]":
    """What the named plugins declare.

    Raises:
        UserError: nothing.
    """
    from pathlib import Path

    from harness.errors import UserError

    names = {name: Path(name).stem if name.endswith(".py") else name for name in plugins}
    entries = [e for e in registry.entries() if e.provider.name in names.values()]
    if not entries and not some_failed:
        known = ", ".join(sorted(p.name for p in registry.providers))
        raise UserError(
            f"-p {', '.join(plugins)}: offers nothing",
            hint=f"a plugin has functions marked hookimpl; those that are loaded: {known}",
        )
    return entries


def _read_params(sets: list[str], entries: "list[Entry]") -> dict[str, dict[str, Any]]:
    """ "strided.width=8" -> {"strided": {"width": 8}}.

    Raises:
        UserError: not of this form, or no part has the name.
    """
    import yaml

    from harness.errors import UserError, near_names

    known = [entry.declaration.name for entry in entries]
    found: dict[str, dict[str, Any]] = {}
    for text in sets:
        path, equals, value = text.partition("=")
        name, dot, key = path.partition(".")
        if not (equals and dot and key):
            raise UserError(f"--set {text}: is not NAME.PARAM=VALUE")
        if name not in known:
            raise UserError(
                f"--set {text}: no part is called '{name}'", hint=near_names(name, known)
            )
        try:
            found.setdefault(name, {})[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"--set {text}: the value is not YAML") from error
    return found
