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
    from harness.cli.planning import load_registry, plan_from
    from harness.plan.planner import resolved

    made = plan_from(
        manifest, load_registry(plugins), profile=profile, data=data, sets=sets, only=only,
        stages=stages, seeds=seeds, modes=modes, precisions=precisions,
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
