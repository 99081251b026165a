"""`harness data`: what the detectors of a suite can hope for on a data set, before any training."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options as o

if TYPE_CHECKING:
    from harness.data.annotations import Annotations
    from harness.data.source import SplitName
    from harness.model.detector import Detector
    from harness.plan.cells import Plan
    from harness.report.prospects import Prospect
    from harness.results.anchors import AnchorGrid


def data(
    root: Annotated[str, typer.Argument(metavar="ROOT", help="Folder of a data set.")],
    split: Annotated[str, typer.Option(help="train or val.")] = "val",
    suite: Annotated[
        Path, typer.Option(metavar="SUITE.yaml", help="Suite of the detectors.")
    ] = Path("suites/tinydet.yaml"),
    only: o.Only = [],  # noqa: B006
    csv: o.Csv = None,
    plugins: o.Plugins = [],  # noqa: B006
) -> None:
    """Show object sizes at each detector's input, and what its anchors and strides make of them."""
    from harness.errors import UserError

    if not suite.is_file():
        hint = "name the manifest of your detectors with --suite"
        raise UserError("no such file", where=suite, hint=hint)
    from rich.console import Console

    from harness.cli.planning import load_registry, write_csv
    from harness.data.annotations import read_annotations
    from harness.data.folder import CocoFolder
    from harness.manifest.suite import load_manifest
    from harness.plan.planner import make_plan
    from harness.report.prospects import (
        NOTES,
        data_table,
        overview_table,
        prospects_frame,
        sizes_table,
    )
    from harness.report.terminal import say
    from harness.results.objects import count_data, original_sizes

    registry = load_registry(plugins)  # which may read other layouts
    folder = CocoFolder(root)
    annotations = read_annotations(folder.split(_split_name(split)).annotations)
    plan = make_plan(
        load_manifest(suite),
        registry,
        only=only,
        data_root=root,
        classes=annotations.classes,
    )
    edges = plan.suite.report.size_bins
    prospects = list(_prospects(plan, annotations))
    console, originals = Console(), original_sizes(annotations)
    tables = [data_table(folder.name, split, count_data(annotations))]
    tables += [overview_table(originals, prospects)]
    for table in (*tables, *(sizes_table(one, edges) for one in prospects)):
        console.print(table)
        console.print()
    say(console, NOTES, "dim")
    write_csv(csv, prospects_frame(originals, prospects, edges))


def _split_name(name: str) -> "SplitName":
    from harness.data.folder import SPLITS
    from harness.errors import UserError, near_names

    for known in SPLITS:
        if name == known:
            return known
    raise UserError(
        f"there is no split '{name}'", where="--split", hint=near_names(name, list(SPLITS))
    )


def _prospects(plan: "Plan", annotations: "Annotations") -> "Iterator[Prospect]":
    """Builds the detectors one after the other; their weights do not matter."""
    from harness.data.scaling import describe_input
    from harness.model.assemble import assemble
    from harness.report.prospects import Prospect
    from harness.results.objects import measure_prospects

    for name, spec in plan.suite.detectors.items():
        if spec.detections is not None:
            continue
        detector = assemble(spec, plan.parts[name], plan.classes, where=f"detectors.{name}")
        resize = detector.resize.describe()
        found = measure_prospects(annotations, resize, _anchors_of(detector), detector.positive_iou)
        yield Prospect(name, describe_input(resize), found)


def _anchors_of(detector: "Detector") -> "Callable[[tuple[int, int]], list[AnchorGrid]]":
    """Without torch from there on."""
    from harness.results.anchors import AnchorGrid

    def lay(size: tuple[int, int]) -> "list[AnchorGrid]":
        levels = detector.anchor_levels(size)
        return [AnchorGrid(level.stride, level.boxes.double().numpy()) for level in levels]

    return lay
