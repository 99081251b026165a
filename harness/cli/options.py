"""Options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from harness.manifest.suite import Override


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
        metavar="[NAME=]FILE,...",
        help="Another tool's detections in COCO's result format, as a detector of the suite.",
        callback=split_commas,
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


def name_files(paths: list[Path]) -> dict[str, Path]:
    """By the shortest end of their paths that tells them apart."""
    from harness.errors import UserError

    if len(set(paths)) < len(paths):
        raise UserError("is named twice", where=max(paths, key=paths.count))
    for length in range(1, max((len(path.parts) for path in paths), default=0) + 1):
        names = ["/".join((*path.parts[-length:-1], path.stem)) for path in paths]
        if len(set(names)) == len(names):
            break
    else:
        names = [str(path) for path in paths]
    return dict(zip(names, paths, strict=True))


def parse_detections(values: list[str]) -> "list[str | Override]":
    """Files as overrides that add them to the suite, by default under their own names.

    Raises:
        UserError: a name or a file is given twice.
    """
    from harness.errors import UserError
    from harness.manifest.suite import Override

    named = [value for value in values if "=" in value and not Path(value).is_file()]
    pairs = [(name, file) for name, _, file in (value.partition("=") for value in named)]
    alone = name_files([Path(value) for value in values if value not in named])
    pairs += [(name.replace("/", "-"), str(path)) for name, path in alone.items()]
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise UserError("is given twice", where=f"--detections {max(names, key=names.count)}=...")
    return [
        Override(("detectors", name, "detections"), file, f"{name}={file}", "--detections")
        for name, file in pairs
    ]


def parse_seeds(values: list[str]) -> list[int]:
    """Raises typer.BadParameter for anything that is not a whole number from 0 on."""
    items = split_commas(values)
    wrong = [item for item in items if not item.isdecimal()]
    if wrong:
        raise typer.BadParameter(f"'{wrong[0]}' is not a whole number", param_hint="--seeds")
    return [int(item) for item in items]
