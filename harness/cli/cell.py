"""`harness cell`: one cell of a run, from the run's folder alone."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options as o


def cell(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.")],
    name: Annotated[
        str, typer.Argument(metavar="CELL", help="DETECTOR/seedN/STAGE, of latency also /MODE.")
    ],
    device: o.Device = "auto",
    plugins: o.Plugins = [],  # noqa: B006
) -> int:
    """Run one cell of a run again, or on another machine; its records replace those before."""
    from harness.run.single import run_cell

    return run_cell(run, name, device=device, plugins=plugins)
