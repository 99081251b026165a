"""`harness score`: AP of a detections file, without a model."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Plugins


def score(
    detections: Annotated[Path, typer.Argument(help="Detections in COCO's result format.")],
    annotations: Annotated[Path, typer.Option(help="COCO-format annotation file.")],
    backend: Annotated[
        str, typer.Option(help="faster_coco_eval or pycocotools.")
    ] = "faster_coco_eval",
    per_class: Annotated[bool, typer.Option("--per-class", help="Also AP of each class.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write the numbers to this file, too.")] = None,
    plugins: Plugins = [],  # noqa: B006
) -> None:
    """Score detections against annotations: AP, AR, by size and by class."""
    from pydantic import ValidationError

    from harness.cli.planning import load_registry
    from harness.manifest.validation import invalid
    from harness.stages.scoring import evaluate

    declaration = load_registry(plugins).get("meter", "coco_ap").declaration
    try:
        params = declaration.params.model_validate({"backend": backend, "per_class": per_class})
    except ValidationError as error:
        raise invalid(error, declaration.params, lambda path: f"--{path[0]}") from error
    measured = evaluate(annotations, detections, [declaration.load()(**params.model_dump())])

    from rich.console import Console

    from harness.report.scores import scores_table, write_scores

    Console().print(scores_table(measured, title=f"{detections} on {annotations}"))
    if csv is not None:
        write_scores(csv, measured)
