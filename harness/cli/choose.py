"""`harness choose`: the best detector of a run within limits."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options as o


def choose(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    at_most: Annotated[
        list[str],
        typer.Option(metavar="METRIC=NUMBER", help="Such as latency=15 or params=1.5; repeatable."),
    ] = [],  # noqa: B006
    at_least: Annotated[
        list[str], typer.Option(metavar="METRIC=NUMBER", help="Such as ap_small=10; repeatable.")
    ] = [],  # noqa: B006
    plugins: o.Plugins = [],  # noqa: B006
) -> int:
    """Name the detector with the best score within limits. Exit 4: nothing fits.

    Numbers are in the units of the run's table: points of AP, milliseconds, M of parameters.
    """
    from harness.cli.planning import load_registry
    from harness.errors import ExitCode
    from harness.report.choices import describe_choice
    from harness.results.choosing import choose as find
    from harness.results.choosing import parse_limit
    from harness.results.run_folder import read_run

    load_registry(plugins)
    read = read_run(run)
    limits = [parse_limit(read, text, True) for text in at_most]
    limits += [parse_limit(read, text, False) for text in at_least]
    found = find(read, limits)
    print(describe_choice(read, found, limits))
    return ExitCode.OK if found.order else ExitCode.NOTHING_TO_COMPARE
