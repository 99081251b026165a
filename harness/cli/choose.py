"""`harness choose`: the best detector of a run within limits, and in which mode."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options as o


def choose(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    at_most: Annotated[
        list[str],
        typer.Option(
            metavar="METRIC=NUMBER", help="Such as latency=15ms or model_size=5MB; repeatable."
        ),
    ] = [],  # noqa: B006
    at_least: Annotated[
        list[str], typer.Option(metavar="METRIC=NUMBER", help="Such as ap_small=10; repeatable.")
    ] = [],  # noqa: B006
    mode: Annotated[
        list[str], typer.Option(metavar="MODE,...", help="Only in these modes of inference.")
    ] = [],  # noqa: B006
    plugins: o.Plugins = [],  # noqa: B006
) -> int:
    """Name the detector with the best score within limits, and its mode. Exit 4: nothing fits.

    All modes that the run has timed compete, those of 8 bits with a score of their own; of equal
    scores the fastest is named. Numbers are in the units of the run's table: points of AP,
    milliseconds, M of parameters.
    """
    from harness.cli.planning import load_registry
    from harness.errors import ExitCode
    from harness.report.choices import describe_choice
    from harness.results.choosing import check_modes, parse_limit
    from harness.results.choosing import choose as find
    from harness.results.run_folder import read_run

    load_registry(plugins)
    read = read_run(run)
    limits = [parse_limit(read, text, True) for text in at_most]
    limits += [parse_limit(read, text, False) for text in at_least]
    modes = o.split_commas(mode)
    check_modes(read, modes)
    found = find(read, limits, modes)
    print(describe_choice(read, found, limits))
    return ExitCode.OK if found.order else ExitCode.NOTHING_TO_COMPARE
