"""Options that several commands share."""

import json
from pathlib import Path
from typing import Annotated

import typer


def split_commas(values: list[str]) -> list[str]:
    """ "a,b" and repeated options alike."""
    return [item.strip() for value in values for item in value.split(",") if item.strip()]


Plugins = Annotated[
    list[str],
    typer.Option("-p", "--plugin", metavar="MODULE|FILE.py", help="Load this plugin as well."),
]
ManifestPath = Annotated[Path, typer.Argument(metavar="SUITE.yaml", help="The suite's manifest.")]
Profile = Annotated[str | None, typer.Option(help="Profile of the manifest. [default: quick]")]
DataRoot = Annotated[
    str | None,
    typer.Option(
        "--data", metavar="ROOT", help="A COCO, YOLO or VOC folder in place of the suite's data."
    ),
]
Sets = Annotated[
    list[str],
    typer.Option("--set", metavar="A.B.C=VALUE", help="Override a value; * stands for every key."),
]
Detections = Annotated[
    list[str],
    typer.Option(
        metavar="[NAME=]FILE",
        help="Another tool's detections in COCO's result format, as a detector of the suite.",
    ),
]
Only = Annotated[
    list[str],
    typer.Option(
        metavar="NAME,...", help="Only these detectors of the suite.", callback=split_commas
    ),
]
Stages = Annotated[
    list[str],
    typer.Option(
        metavar="STAGE,...",
        help="Only these stages: train, evaluate, cost, latency.",
        callback=split_commas,
    ),
]
Seeds = Annotated[list[str], typer.Option(metavar="N,...", help="Seeds in place of the suite's.")]
Modes = Annotated[
    list[str],
    typer.Option(
        metavar="MODE,...",
        help="Time these modes, or 'all' that the device has.",
        callback=split_commas,
    ),
]
Precisions = Annotated[
    list[str],
    typer.Option(
        metavar="NAME,...",
        help="Time these precisions: float32, tf32, bfloat16, float16, or 'all'.",
        callback=split_commas,
    ),
]
Resamples = Annotated[
    int | None, typer.Option(min=100, help="Bootstrap resamples. [default: the runs']")
]
Csv = Annotated[Path | None, typer.Option(help="Also write the numbers to this file.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]


def as_sets(detections: list[str]) -> list[str]:
    """Files as the settings that add them to the suite, by default under their own names."""
    pairs = (
        text.partition("=") if "=" in text else (Path(text).stem, "=", text) for text in detections
    )
    return [f'detectors."{name}".detections={json.dumps(file)}' for name, _, file in pairs]


def parse_seeds(values: list[str]) -> list[int]:
    """Raises typer.BadParameter for anything that is not a whole number from 0 on."""
    items = split_commas(values)
    wrong = [item for item in items if not item.isdecimal()]
    if wrong:
        raise typer.BadParameter(f"'{wrong[0]}' is not a whole number", param_hint="--seeds")
    return [int(item) for item in items]
