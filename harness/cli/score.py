"""`harness score`: AP of files of detections, without a model."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options as o

if TYPE_CHECKING:
    from harness.plugin.metrics import MetricSpec
    from harness.plugin.registry import Registry
    from harness.stages.inputs import EvaluationMeter


def score(
    detections: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Detections in COCO's result format; further files are compared with the first.",
        ),
    ],
    annotations: Annotated[
        Path,
        typer.Option(help="COCO-format file, or a COCO, YOLO or VOC folder: its validation split."),
    ],
    backend: Annotated[
        str | None, typer.Option(help="Evaluator of COCO's AP: faster_coco_eval or pycocotools.")
    ] = None,
    max_detections: Annotated[
        int | None, typer.Option(min=11, help="Best detections of an image that count (100).")
    ] = None,
    per_class: Annotated[bool, typer.Option("--per-class", help="Also score each class.")] = False,
    resamples: o.Resamples = None,
    csv: o.Csv = None,
    plugins: o.Plugins = [],  # noqa: B006
) -> None:
    """Score detections against annotations, with every meter that needs nothing else."""
    from rich.console import Console

    from harness.cli.planning import load_registry, write_csv
    from harness.data.annotations import read_annotations
    from harness.errors import UserError
    from harness.manifest.schema import Report
    from harness.plugin.catalog import Catalog
    from harness.report.comparison_table import print_comparison
    from harness.report.notes import warnings_of
    from harness.report.scores import scores_frame, scores_table
    from harness.report.terminal import note, say
    from harness.results.comparison import ALL, compare_sides
    from harness.results.detection_files import run_of_files
    from harness.results.run import known_metrics
    from harness.results.sides import split_run

    if per_class and len(detections) > 1:
        raise UserError("takes a single file", where="--per-class")
    annotations = _file_of(annotations)
    registry = load_registry(plugins)
    options: dict[str, object] = {"backend": backend, "per_class": per_class}
    options["max_detections"] = max_detections
    chosen = list(_meters(registry, options))
    catalog = Catalog.of([spec for _, specs in chosen for spec in specs]).joined(known_metrics())
    settings = Report() if resamples is None else Report(resamples=resamples)
    files = o.name_files(detections)
    run = run_of_files(files, annotations, [meter for meter, _ in chosen], catalog, settings)
    console = Console(highlight=False)
    if len(files) == 1:
        [(name, path)] = files.items()
        console.print(scores_table(run, name, f"{path} on {annotations}"))
        say(console, warnings_of(run, [spec.name for spec in run.metrics()]))
    else:
        print_comparison(compare_sides(split_run(run), [ALL]), console, intervals=True)
    for warning in read_annotations(annotations).warnings:
        note(f"{annotations.name}: {warning}")
    write_csv(csv, scores_frame(run))


def _file_of(annotations: Path) -> Path:
    """The annotation file; of a data set's folder, or its data.yaml, that of validation."""
    from harness.data.folder import CocoFolder
    from harness.errors import UserError

    if not annotations.exists():
        hint = "needs a COCO-format file, or the folder of a data set"
        raise UserError("does not exist", where=annotations, hint=hint)
    if annotations.is_file() and annotations.suffix not in (".yaml", ".yml"):
        return annotations
    return CocoFolder(annotations).split("val").annotations


def _meters(
    registry: "Registry", options: dict[str, object]
) -> "Iterator[tuple[EvaluationMeter, tuple[MetricSpec, ...]]]":
    """Those of detections whose parameters all have defaults, with the options that they take.

    Yields:
        the meter, and what it writes.
    """
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
        yield meter.load()(**params.model_dump()), meter.specs(params)
