"""`harness score`: AP of a detections file, without a model."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options as o

if TYPE_CHECKING:
    from harness.plugin.registry import Registry
    from harness.stages.inputs import EvaluationMeter


def score(
    detections: Annotated[Path, typer.Argument(help="Detections in COCO's result format.")],
    annotations: Annotated[Path, typer.Option(help="COCO-format annotation file.")],
    backend: Annotated[
        str | None, typer.Option(help="Evaluator of COCO's AP: faster_coco_eval or pycocotools.")
    ] = None,
    max_detections: Annotated[
        int | None, typer.Option(min=11, help="Best detections of an image that count (100).")
    ] = None,
    per_class: Annotated[bool, typer.Option("--per-class", help="Also score each class.")] = False,
    csv: o.Csv = None,
    plugins: o.Plugins = [],  # noqa: B006
) -> None:
    """Score detections against annotations, with every meter that needs nothing else."""
    from rich.console import Console

    from harness.cli.planning import load_registry, write_csv
    from harness.data.annotations import read_annotations
    from harness.plugin.catalog import declared
    from harness.report.scores import scores_frame, scores_table
    from harness.report.terminal import note
    from harness.stages.scoring import evaluate

    registry = load_registry(plugins)
    options: dict[str, object] = {"backend": backend, "per_class": per_class}
    options["max_detections"] = max_detections
    meters = list(_meters(registry, options))
    measured = evaluate(annotations, detections, meters)
    title = f"{detections} on {annotations}"
    Console().print(scores_table(measured, declared(registry), title))
    for warning in read_annotations(annotations).warnings:
        note(f"{annotations.name}: {warning}")
    write_csv(csv, scores_frame(measured))


def _meters(registry: "Registry", options: dict[str, object]) -> "Iterator[EvaluationMeter]":
    """Those of detections whose parameters all have defaults, with the options that they take."""
    from pydantic import ValidationError

    from harness.manifest.validation import invalid
    from harness.plugin.declarations import Meter

    for entry in registry.entries("meter"):
        meter = entry.declaration
        fields = meter.params.model_fields
        if not isinstance(meter, Meter) or meter.stage != "evaluate":
            continue
        if any(field.is_required() for field in fields.values()):
            continue
        given = {k: v for k, v in options.items() if k in fields and v is not None}
        try:
            params = meter.params.model_validate(given)
        except ValidationError as error:
            raise invalid(error, meter.params, lambda path: f"--{path[0]}") from error
        yield meter.load()(**params.model_dump())
