"""A call of `harness run`, kept so that each of its cells can run again from the folder alone."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import UserError
from harness.files import this_process, write_json
from harness.manifest.reader import KeyPath
from harness.manifest.schema import Suite
from harness.manifest.validation import invalid
from harness.plan.cells import Cell, Plan
from harness.plan.planner import plan_suite
from harness.plugin.manager import load_plugins
from harness.plugin.registry import Registry


@dataclass(frozen=True)
class Call:
    """What a call asked for.

    Attributes:
        suite: the manifest with profile, overrides and choices applied.
        plugins: what `-p` named.
        providers: version of every plugin that was loaded; of those of `-p`, a hash of the file.
        device: of `--device`.
        directory: where it was called: relative paths start there.
        command: as it was typed.
        process: "process N on HOST".
        cells: names of the cells it asked for, those that were done before included.
    """

    suite: Mapping[str, Any]
    plugins: tuple[str, ...]
    providers: Mapping[str, str]
    device: str
    directory: str
    command: tuple[str, ...]
    process: str
    started: float
    cells: tuple[str, ...]


def make_call(
    plan: Plan, registry: Registry, plugins: Sequence[str], device: str, command: Sequence[str],
    started: float,
) -> Call:  # fmt: skip
    """Of this process."""
    return Call(
        suite=plan.suite.model_dump(mode="json", exclude_unset=True),
        plugins=tuple(plugins),
        providers={provider.name: provider.version for provider in registry.providers},
        device=device,
        directory=str(Path.cwd()),
        command=tuple(command),
        process=this_process(),
        started=started,
        cells=tuple(cell.name for cell in plan.cells),
    )


def write_call(path: Path, call: Call) -> None:
    """Raises UserError where the folder cannot be written to."""
    write_json(path, asdict(call))


def read_call(path: Path) -> Call:
    """Raises UserError where there is none, or something else."""
    try:
        plain = json.loads(path.read_bytes())
        tuples = {key: tuple(plain[key]) for key in ("plugins", "command", "cells")}
        return Call(**{**plain, **tuples})
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=path) from error
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"is not a call of a run ({error})", where=path) from error


def plan_call(call: Call, plugins: Sequence[str], where: Path) -> Plan:
    """The plan that the call made, made again on this machine.

    Args:
        plugins: modules or files, as `-p`. Those of the call are not loaded by themselves: what a
            folder holds runs no code that the command line does not name.

    Raises:
        UserError: a plugin is another one here, or something of the plan is not to be had.
    """
    registry = load_plugins(plugins)
    here = {provider.name: provider.version for provider in registry.providers}
    for name, version in call.providers.items():
        if here.get(name) != version:
            again = "".join(f" -p {plugin}" for plugin in call.plugins)
            raise UserError(
                f"was made with plugin '{name}' {version}, here it is {here.get(name, 'missing')}",
                where=where,
                hint=f"give{again}, unchanged" if again else "install the same version",
            )

    def place(path: KeyPath) -> str:
        return f"{where} suite.{'.'.join(map(str, path))}"

    try:
        suite = Suite.model_validate(call.suite)
    except ValidationError as error:
        raise invalid(error, Suite, place) from error
    return plan_suite(suite, registry, place)


def find_cell(plan: Plan, name: str, fingerprint: str, where: Path) -> Cell:
    """The cell of this name.

    Raises:
        UserError: there is none, or its numbers would be those of something else.
    """
    found = next((cell for cell in plan.cells if cell.name == name), None)
    if found is None:
        raise UserError(f"has no cell '{name}'", where=where)
    if found.fingerprint != fingerprint:
        raise UserError(
            f"'{name}' was planned as {fingerprint} and is {found.fingerprint} here: the data, "
            "its weights file or a version differ",
            where=where,
            hint="plan it again with `harness run --resume`",
        )
    return found
