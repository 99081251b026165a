"""What several commands do: load plugins, make a plan, write the numbers."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.options import parse_seeds, split_commas
from harness.files import write_text
from harness.manifest.suite import load_manifest
from harness.plan.cells import Plan
from harness.plan.planner import make_plan
from harness.plugin.manager import load_plugins
from harness.plugin.registry import Registry

if TYPE_CHECKING:
    from pandas import DataFrame


def load_registry(plugins: Sequence[str]) -> Registry:
    """Every plugin; those that fail to load are named once on stderr."""
    registry = load_plugins(plugins)
    for failed in registry.failed:
        print(f"harness: plugin '{failed.name}' failed to load: {failed.error}", file=sys.stderr)
    return registry


def write(path: Path, text: str) -> None:
    """A file, and a line that says so."""
    write_text(path, text)
    print(f"written: {path}")


def write_csv(path: Path | None, frame: "DataFrame") -> None:
    """What --csv asks for."""
    if path is not None:
        write(path, frame.to_csv(index=False))


def plan_from(
    manifest: Path,
    registry: Registry,
    *,
    profile: str | None,
    data: str | None,
    sets: list[str],
    only: list[str],
    stages: list[str],
    seeds: list[str],
    modes: list[str],
    precisions: list[str],
) -> Plan:
    """Raises UserError for whatever is wrong with the manifest or the choices."""
    return make_plan(
        load_manifest(manifest, profile, sets),
        registry,
        only=split_commas(only),
        stages=split_commas(stages),
        seeds=parse_seeds(seeds),
        modes=split_commas(modes),
        precisions=split_commas(precisions),
        data_root=data,
    )
