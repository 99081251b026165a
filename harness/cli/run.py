"""`harness run`: train, evaluate and measure what a manifest names."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options as o


def run(
    manifest: o.ManifestPath,
    profile: o.Profile = None,
    data: o.DataRoot = None,
    sets: o.Sets = [],  # noqa: B006  typer copies defaults
    only: o.Only = [],  # noqa: B006
    stages: o.Stages = [],  # noqa: B006
    seeds: o.Seeds = [],  # noqa: B006
    modes: o.Modes = [],  # noqa: B006
    precisions: o.Precisions = [],  # noqa: B006
    device: o.Device = "auto",
    run_id: Annotated[
        str | None, typer.Option(help="Name of the run's folder. [default: date and time]")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run --run-id, else the suite's latest.")
    ] = False,
    results: Annotated[Path, typer.Option(help="Folder of all results.")] = Path("results"),
    plugins: o.Plugins = [],  # noqa: B006
) -> int:
    """Train, evaluate and measure every detector of a suite, and print one table."""
    from harness.cli.planning import plan_from

    plan = plan_from(
        manifest, plugins=plugins, profile=profile, data=data, sets=sets, only=only,
        stages=stages, seeds=seeds, modes=modes, precisions=precisions,
    )  # fmt: skip
    from harness.run.session import run_plan

    return run_plan(plan, device=device, run_id=run_id, resume=resume, results=results)
