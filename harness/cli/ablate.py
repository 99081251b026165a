"""`harness ablate`: a suite of one detector's variants."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options as o


def ablate(
    manifest: o.ManifestPath,
    vary: Annotated[
        list[str],
        typer.Option(
            metavar="KEY=A,B",
            help="A part or setting and its values, such as neck=tiny_fpn,top_down; repeatable.",
        ),
    ],
    base: Annotated[
        str | None, typer.Option(metavar="DETECTOR", help="What is varied. [default: the first]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Manifest to write. [default: SUITE-ablation.yaml]")
    ] = None,
    plugins: o.Plugins = [],  # noqa: B006
) -> None:
    """Write a suite with every combination of some parts and settings of a detector.

    The page of its run says what each change by itself buys and costs.
    """
    from harness.cli.planning import load_registry
    from harness.errors import UserError
    from harness.files import write_text
    from harness.manifest.grid import parse_choice
    from harness.manifest.grid import vary as make_variants
    from harness.manifest.suite import load_manifest
    from harness.plan.planner import make_plan

    text = make_variants(manifest, base, [parse_choice(one) for one in vary])
    target = out or manifest.with_name(f"{manifest.stem}-ablation.yaml")
    if target.exists():
        raise UserError("exists already", where=target, hint="another name with --out")
    write_text(target, text)
    try:
        made = load_manifest(target)
        make_plan(made, load_registry(plugins), classes=["object"])
    except UserError as error:
        target.unlink()
        place = str(error.where).removeprefix(f"{target}:").partition(" ")[2]
        raise UserError(error.found, where=f"--vary: {place}", hint=error.hint) from error
    options = "".join(f" -p {plugin}" for plugin in plugins)
    print(f"written: {target}: {', '.join(made.suite.detectors)}")
    print(f"next: harness run {target}{options}")
