"""`harness watch`: how far a run is."""

from pathlib import Path
from typing import Annotated

import typer


def watch(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.")],
    once: Annotated[bool, typer.Option("--once", help="Show it once, and do not wait.")] = False,
) -> None:
    """Follow a run from its folder alone: from another terminal, or from another machine."""
    from rich.console import Console

    from harness.run.watching import watch_run

    watch_run(run, Console(highlight=False), once=once)
