"""`harness report`: the page of a run, rewritten from what is on disk."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options as o


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    out: Annotated[
        Path | None, typer.Option(help="The page. [default: report.html in the run's folder]")
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="ROOT", help="Where the data is now, if it was moved.")
    ] = None,
    resamples: o.Resamples = None,
    plugins: o.Plugins = [],  # noqa: B006
) -> None:
    """Rewrite report.html of a run; needs no model and no GPU."""
    from harness.cli.planning import load_registry
    from harness.errors import UserError
    from harness.records import layout
    from harness.report.page import write_page
    from harness.report.terminal import note
    from harness.results.run_folder import read_run
    from harness.run.watching import is_live, read_status

    if out is not None and out.is_dir():
        raise UserError(f"'{out}' is a folder", where="--out", hint="the name of a file")
    load_registry(plugins)
    read = read_run(run, data_root=data, resamples=resamples)
    for line in read.notes:
        note(line)
    path = out or run / layout.PAGE
    write_page(path, read, is_live(run, read_status(run)))
    print(f"report: {path}")
