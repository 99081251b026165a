"""`harness predict`: detect in image files."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options as o


def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    checkpoint: Annotated[Path, typer.Option(help="Weights: a run's, or published ones.")],
    out: Annotated[Path, typer.Option(help="Folder for drawn images and detections.json.")],
    manifest: Annotated[
        Path | None, typer.Option("--suite", help="Manifest, for weights that are not of a run.")
    ] = None,
    detector: Annotated[str | None, typer.Option(help="Name of the detector in the suite.")] = None,
    classes: Annotated[
        Path | None, typer.Option(help="COCO-format annotation file to take class names from.")
    ] = None,
    threshold: Annotated[float, typer.Option(help="Lowest score that is drawn.")] = 0.3,
    device: o.Device = "auto",
    plugins: o.Plugins = [],  # noqa: B006
) -> None:
    """Draw what a trained detector finds and write it as COCO JSON."""
    from harness.records.layout import DETECTIONS
    from harness.run.prediction import predict_files

    written = predict_files(
        images, checkpoint, out, manifest=manifest, detector=detector, classes=classes,
        threshold=threshold, device=device, plugins=plugins, say=print,
    )  # fmt: skip
    print(f"{len(written)} images drawn in {out}, detections in {out / DETECTIONS}")
