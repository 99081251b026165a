"""`harness export`: every number as Parquet, CSV or SQLite."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Plugins


def export(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Run folder, folder of runs, records or CSV.")
    ],
    to: Annotated[Path, typer.Option(help="FILE.parquet, FILE.csv or FILE.sqlite.")],
    samples: Annotated[
        Path | None,
        typer.Option(help="Also write raw samples: to another file, or for SQLite the same."),
    ] = None,
    plugins: Plugins = [],  # noqa: B006
) -> None:
    """Write measured numbers and their intervals in one documented schema."""
    from harness.cli.planning import load_registry
    from harness.results.tables import check_format, collect, write_table

    for file in (to, samples):
        if file is not None:
            check_format(file)
    _check_apart(to, samples)
    load_registry(plugins)
    measurements, raw = collect(path)
    if samples is not None and samples == to:
        write_table(to, {"measurements": measurements, "samples": raw})
    else:
        write_table(to, {"measurements": measurements})
        if samples is not None:
            write_table(samples, {"samples": raw})
    print(f"{to}: {len(measurements)} rows")
    if samples is not None:
        print(f"{samples}: {len(raw)} samples")


def _check_apart(to: Path, samples: Path | None) -> None:
    from harness.errors import UserError

    if samples == to and to.suffix != ".sqlite":
        raise UserError("one file cannot hold both tables", where=to, hint="only .sqlite can")
