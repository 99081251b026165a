"""`harness runs` and `harness note`: which runs there are, and what people say of them."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options as o


def runs(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A results folder, or a suite's in it.")
    ] = Path("results"),
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="Only runs with this tag; may be repeated.")
    ] = None,
    plugins: o.Plugins = [],  # noqa: B006
) -> None:
    """List runs, the latest first: what they are of, how far they came and what was best."""
    from rich.console import Console

    from harness.cli.planning import load_registry
    from harness.report.run_list import read_runs, runs_grid
    from harness.report.terminal import note as say

    load_registry(plugins)
    found, problems = read_runs(folder, tags or ())
    for line in problems:
        say(line)
    if found:
        Console(highlight=False).print(runs_grid(found, folder))
    else:
        say("no run has these tags" if tags else "no run can be read")


def note(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.")],
    text: Annotated[
        str | None, typer.Argument(help="The note, in place of an earlier one; '' for none.")
    ] = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="Add this tag; may be repeated.")
    ] = None,
    untag: Annotated[
        list[str] | None, typer.Option(help="Take this tag away; may be repeated.")
    ] = None,
) -> None:
    """Say something of a run: its note and tags stand on its page and in `harness runs`."""
    from dataclasses import replace

    from harness.records.about import read_about, write_about

    about = read_about(run).with_tags(tags or (), untag or ())
    if text is not None:
        about = replace(about, note=text.strip())
    write_about(run, about)
    print(str(about) or "no note and no tags")
    print(f"harness report {run} puts it on the page")
