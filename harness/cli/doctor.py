"""`harness doctor`: is this machine ready, and if not, why not."""

from typing import Annotated

import typer

from harness.cli.options import DataRoot, Plugins

STYLES = {"ok": "green", "note": "yellow", "bad": "red"}


def doctor(
    data: DataRoot = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Decode every image of --data, not only its header.")
    ] = False,
    plugins: Plugins = [],  # noqa: B006
) -> int:
    """Report versions, the compiled op or why there is none, GPU, plugins and data.

    Of data all mistakes are listed by kind, and a verdict: trainable or not, evaluable or not.
    """
    from rich.console import Console
    from rich.text import Text

    from harness.errors import ExitCode
    from harness.run.diagnosis import diagnose

    console = Console()
    findings = diagnose(plugins, data, thorough=thorough)
    for one in findings:
        level = (f"{one.level:4} ", STYLES[one.level])
        console.print(Text.assemble(level, (one.what, "bold"), " ", one.found), soft_wrap=True)
        for example in one.examples:
            console.print(Text(f"       {example}", "dim"), soft_wrap=True)
    bad = any(one.level == "bad" for one in findings)
    return ExitCode.BAD_INPUT if bad else ExitCode.OK
