"""`harness history`: a metric over the runs of a suite."""

from pathlib import Path
from typing import Annotated

import typer


def history(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A suite's folder of runs, or one of suites.")
    ],
    metric: Annotated[str, typer.Option(help="Its name, or a short one as 'latency'.")] = "ap",
    detector: Annotated[
        list[str] | None, typer.Option(help="Only this one; may be repeated. [default: all]")
    ] = None,
    resamples: Annotated[
        int | None, typer.Option(min=100, help="Bootstrap resamples. [default: the runs']")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a CSV.")] = None,
) -> None:
    """Follow a metric over runs, each compared with the one before."""
    import sys

    from rich.console import Console

    from harness.report.history import print_history, write_history
    from harness.results.history import read_history, trace_metric

    sides = read_history(folder, resamples)
    lines = list(trace_metric(sides, metric, detector or ()))
    for note in dict.fromkeys(note for side in sides for note in side.notes):
        print(f"harness: note: {note}", file=sys.stderr)
    print_history(lines, Console(highlight=False))
    if csv is not None:
        write_history(csv, lines)
