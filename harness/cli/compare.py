"""`harness compare`: runs and files beside each other, with gates."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options as o

if TYPE_CHECKING:
    from harness.results.comparison import Comparison


def compare(
    base: Annotated[
        str,
        typer.Argument(
            metavar="BASE",
            help="Run folder, results.csv, .jsonl of records, detections or pytest-benchmark JSON; "
            "PATH:DETECTOR picks one detector.",
        ),
    ],
    others: Annotated[list[str], typer.Argument(metavar="OTHER...", help="Like BASE.")],
    metrics: Annotated[
        str,
        typer.Option(help="Separated by commas, or 'all'. [default: the main table's]"),
    ] = "",
    only: Annotated[str, typer.Option(metavar="DETECTOR,...", help="Only these.")] = "",
    gate: Annotated[
        list[str] | None,
        typer.Option(help='A limit on differences: "ap_small >= -0.5", "latency <= 1.05x".'),
    ] = None,
    allow_mismatch: Annotated[
        bool, typer.Option(help="Also compare what was measured differently, and mark it.")
    ] = False,
    smallest_effect: Annotated[
        float, typer.Option(min=0, help="Relative difference of times too small to matter.")
    ] = 0.02,
    resamples: o.Resamples = None,
    csv: o.Csv = None,
    html: Annotated[Path | None, typer.Option(help="Write a page.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write Markdown.")] = None,
    plugins: o.Plugins = [],  # noqa: B006
) -> int:
    """Compare runs or detectors. Exit 3: a gate was missed; 4: something was not compared."""
    from rich.console import Console

    from harness.cli.planning import load_registry, write, write_csv
    from harness.report.comparison_table import (
        comparison_frame,
        print_comparison,
        print_gates,
        render_markdown,
    )
    from harness.results.comparison import Rules, compare_sides
    from harness.results.gates import parse_gate
    from harness.results.sides import read_sides

    gates = [parse_gate(text) for text in gate or ()]
    load_registry(plugins)
    sides = read_sides([base, *others], resamples)
    rules = Rules(allow_mismatch, smallest_effect)
    comparison = compare_sides(
        sides, o.split_commas([metrics]), o.split_commas([only]), rules, gates
    )
    console = Console(highlight=False)
    print_comparison(comparison, console)
    print_gates(comparison.gates, console)
    write_csv(csv, comparison_frame(comparison))
    if markdown is not None:
        write(markdown, render_markdown(comparison))
    if html is not None:
        from harness.report.compare_page import render_comparison  # plotly: half a second

        write(html, render_comparison(comparison))
    return exit_code(comparison)


def exit_code(comparison: "Comparison") -> int:
    """What a comparison means for CI.

    3 if a gate was missed; 4 if one met nothing, or not every number of the base, or there is
    nothing to compare; else 0.
    """
    import sys

    from harness.errors import ExitCode
    from harness.results.gates import unmet

    if any(result.verdict == "missed" for result in comparison.gates):
        return ExitCode.GATE_MISSED
    idle = unmet(comparison.gates)
    if not comparison.comparable:
        print("harness: nothing could be compared", file=sys.stderr)
    elif idle:
        met = {result.gate for result in comparison.gates if result.verdict == "passed"}
        for gate in idle:
            where = "for every number of the base" if gate in met else "for any number"
            print(f"harness: cannot be evaluated {where}: {gate}", file=sys.stderr)
    else:
        return ExitCode.OK
    return ExitCode.NOTHING_TO_COMPARE
