"""`harness doctor`: is this machine ready, and if not, why not."""

from typing import Annotated

import typer

from harness.cli.options import DataRoot, Plugins


def doctor(
    data: DataRoot = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Decode every image of --data.")
    ] = False,
    plugins: Plugins = [],  # noqa: B006
) -> int:
    """Report versions, the compiled op or why there is none, GPU, plugins and data."""
    from rich.console import Console

    from harness.run.diagnosis import diagnose

    console = Console()
    findings = diagnose(plugins, data, thorough=thorough)
    for finding in findings:
        mark = {"ok": "[green]ok[/]  ", "note": "[yellow]note[/]", "bad": "[red]bad[/] "}[
            finding.level
        ]
        console.print(f"{mark} [bold]{finding.what}[/] ", end="", highlight=False)
        console.print(finding.found, highlight=False, markup=False, soft_wrap=True)
    return 2 if any(f.level == "bad" for f in findings) else 0
