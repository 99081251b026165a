"""`harness history`: a metric over the runs of a suite."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options as o

if TYPE_CHECKING:
    from harness.plugin.catalog import Catalog


def history(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A suite's folder of runs, or one of suites.")
    ],
    metric: Annotated[
        str,
        typer.Option(help="Name or short name, as 'latency'. [default: the main score]"),
    ] = "",
    detector: Annotated[
        list[str] | None, typer.Option(help="Only this one; may be repeated. [default: all]")
    ] = None,
    resamples: o.Resamples = None,
    csv: o.Csv = None,
    plugins: o.Plugins = [],  # noqa: B006
) -> None:
    """Follow a metric over runs, each compared with the one before."""
    from rich.console import Console

    from harness.cli.planning import load_registry, write_csv
    from harness.report.history_table import history_frame, print_history
    from harness.report.terminal import note
    from harness.results.comparison import join_catalogs
    from harness.results.history import read_history, trace_metric

    load_registry(plugins)
    sides = read_history(folder, resamples)
    catalog = join_catalogs(sides)
    lines = list(trace_metric(sides, metric or _main_score(catalog), detector or ()))
    for line in dict.fromkeys(line for side in sides for line in side.notes):
        note(line)
    print_history(lines, catalog, Console(highlight=False))
    write_csv(csv, history_frame(lines, catalog))


def _main_score(catalog: "Catalog") -> str:
    from harness.errors import UserError

    if catalog.main_score is None:
        raise UserError("no score is known", hint="name a metric with --metric")
    return catalog.main_score.name
