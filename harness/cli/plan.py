"""`harness plan`: what a run would do, without importing torch unless cost is asked for."""

import json
from typing import Annotated

import typer

from harness.cli import options as o


def plan(
    manifest: o.ManifestPath,
    profile: o.Profile = None,
    data: o.DataRoot = None,
    sets: o.Sets = [],  # noqa: B006
    detections: o.Detections = [],  # noqa: B006
    only: o.Only = [],  # noqa: B006
    stages: o.Stages = [],  # noqa: B006
    seeds: o.Seeds = [],  # noqa: B006
    modes: o.Modes = [],  # noqa: B006
    precisions: o.Precisions = [],  # noqa: B006
    cost: Annotated[
        bool, typer.Option("--cost", help="Build each detector: parameters and MACs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The resolved plan as JSON.")] = False,
    plugins: o.Plugins = [],  # noqa: B006
) -> None:
    """Show the cells of a run and every resolved parameter; nothing is trained or written."""
    from harness.cli.planning import load_registry
    from harness.manifest.suite import load_manifest
    from harness.plan.planner import make_plan, resolved

    overrides = [*sets, *o.parse_detections(detections)]
    registry = load_registry(plugins)
    made = make_plan(
        load_manifest(manifest, profile, overrides, data), registry, only=only, stages=stages,
        seeds=o.parse_seeds(seeds), modes=modes, precisions=precisions, data_root=data,
    )  # fmt: skip
    if as_json:
        print(json.dumps(resolved(made), indent=2, default=str))
        return
    from rich.console import Console

    from harness.report.plans import plan_tables

    console = Console()
    for table in plan_tables(made):
        console.print(table)
        console.print()
    if cost:
        from harness.run.costing import cost_table

        console.print(cost_table(made))
