"""`harness run`: train, evaluate and measure what a manifest names."""

import json
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options as o


def run(
    manifest: o.ManifestPath,
    profile: o.Profile = None,
    data: o.DataRoot = None,
    sets: o.Sets = [],  # noqa: B006  typer copies defaults
    detections: o.Detections = [],  # noqa: B006
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
    executor: Annotated[
        str | None, typer.Option(help="Where cells run: inline, subprocess, ... [default: inline]")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Cells at once, each in a process of its own.")
    ] = None,
    trackers: Annotated[
        list[str],
        typer.Option(
            "--tracker", metavar="NAME,...", help="Send curves and numbers there: tensorboard, ..."
        ),
    ] = [],  # noqa: B006
    note: Annotated[str, typer.Option(help="Words about this run, for its page.")] = "",
    tags: Annotated[
        list[str], typer.Option("--tag", help="A tag of this run, for `harness runs`.")
    ] = [],  # noqa: B006
    results: Annotated[Path, typer.Option(help="Folder of all results.")] = Path("results"),
    plugins: o.Plugins = [],  # noqa: B006
) -> int:
    """Train, evaluate and measure every detector of a suite, and print one table."""
    from harness.cli.planning import load_registry
    from harness.manifest.suite import load_manifest
    from harness.plan.planner import make_plan
    from harness.records.about import About

    if executor is not None:
        sets = [*sets, f"executor.use={executor}"]
    if jobs is not None:
        own = [] if executor is not None else ["executor.use=subprocess"]
        sets = [*sets, *own, f"executor.jobs={jobs}"]
    if trackers:
        sets = [*sets, f"trackers={json.dumps(o.split_commas(trackers))}"]
    overrides = [*sets, *o.parse_detections(detections)]
    registry = load_registry(plugins)
    plan = make_plan(
        load_manifest(manifest, profile, overrides, data), registry, only=only, stages=stages,
        seeds=o.parse_seeds(seeds), modes=modes, precisions=precisions, data_root=data,
    )  # fmt: skip
    from harness.run.session import run_plan

    return run_plan(
        plan, registry, plugins=plugins, device=device, run_id=run_id, resume=resume,
        results=results, about=About(note.strip()).with_tags(tags),
    )  # fmt: skip
