"""What several commands do: load plugins, write the numbers."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.files import write_text
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
