"""Every file of a run folder by its name, for those who write it and those who read it.

results/<suite>/<run>/
  plan.json              what was asked for, in all calls of the run
  records.jsonl          measured numbers and how cells ended, one per line
  results.csv            the same as a table
  report.html            the page
  environments/<id>.json machine, versions, settings
  cells/<detector>/seed<n>/
    checkpoint.pt, state.pt, train_log.jsonl, detections.json,
    analysis.json, analysis.npz, <stage>_error.txt
"""

from collections.abc import Iterator
from pathlib import Path

FORMAT = 2  # of the folder; 1, which has no such entry in plan.json, is that of harness 0.1 to 0.3

PLAN = "plan.json"
RECORDS = "records.jsonl"
TABLE = "results.csv"
PAGE = "report.html"
ENVIRONMENTS = "environments"
CELLS = "cells"
CHECKPOINT = "checkpoint.pt"
TRAIN_STATE = "state.pt"
TRAIN_LOG = "train_log.jsonl"
DETECTIONS = "detections.json"
ANALYSIS = "analysis.json"
SEED = "seed"


def cell_folder(run: Path, detector: str, seed: int) -> Path:
    """Where a run keeps the files of a detector under one seed."""
    return run / CELLS / detector / f"{SEED}{seed}"


def environment_file(run: Path, id: str) -> Path:
    return run / ENVIRONMENTS / f"{id}.json"


def error_file(cell: Path, stage: str) -> Path:
    """The traceback of a stage that failed, for nobody foresaw why."""
    return cell / f"{'_'.join(stage.split())}_error.txt"


def cells_with(run: Path, name: str) -> Iterator[tuple[str, int, Path]]:
    """(detector, seed, file) of each cell that has this file, by detector and seed."""
    found = [
        (path.parent.parent.name, int(seed), path)
        for path in (run / CELLS).glob(f"*/{SEED}*/{name}")
        if (seed := path.parent.name.removeprefix(SEED)).isdecimal()
    ]
    yield from sorted(found)


def runs_in(folder: Path, depth: int = 1) -> list[Path]:
    """The folder itself if it is a run, else the runs in it, with `depth` 2 those of its suites."""
    if (folder / RECORDS).is_file():
        return [folder]
    patterns = ["/".join([*"*" * k, RECORDS]) for k in range(1, depth + 1)]
    return [path.parent for pattern in patterns for path in sorted(folder.glob(pattern))]
