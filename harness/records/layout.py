"""Every file of a run folder by its name, for those who write it and those who read it.

results/<suite>/<run>/
  plan.json              what was asked for, in all calls of the run
  calls/<id>.json        one call of `harness run`: what it takes to run its cells again
  about.json             a note and tags, if people have given any
  results.csv            all measured numbers as a table
  report.html            the page
  environments/<id>.json machine, versions, settings
  cells/<detector>/seed<n>/
    records/<cell>.jsonl   measured numbers of one cell and how it ended, one per line
    records/<cell>.lock    while a process works on it; so are calls/<id>.lock and plan.lock
    progress/<cell>.json   how far it is, while it runs
    logs/<cell>.log        what its process printed, where it had one of its own
    trackers/<name>/<cell>/  what a tracker keeps here, such as TensorBoard's event files
    checkpoint.pt, state.pt, train_log.jsonl, detections.json,
    validation_detections.json, while an evaluation within a training goes on;
    analysis.json, analysis.npz, <cell>_error.txt
    detections_<mode>.json, analysis_<mode>.json, .npz: of a mode that is quantised

A <cell> is a stage, or `latency_<mode>`. Every file has one writer at a time (`locks.py`), and all
but logs are replaced as a whole.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

# Of the folder. 1, which has no such entry in plan.json, is that of harness 0.1 to 0.3; 2, with one
# file of records, was never released.
FORMAT = 3

PLAN = "plan.json"
PLAN_LOCK = "plan.lock"
ABOUT = "about.json"
CALLS = "calls"
RECORDS = "records"
PROGRESS = "progress"
LOGS = "logs"
TRACKERS = "trackers"
TABLE = "results.csv"
PAGE = "report.html"
ENVIRONMENTS = "environments"
CELLS = "cells"
CHECKPOINT = "checkpoint.pt"
TRAIN_STATE = "state.pt"
TRAIN_LOG = "train_log.jsonl"
DETECTIONS = "detections.json"
VALIDATION = "validation_detections.json"
ANALYSIS = "analysis.json"
SEED = "seed"


@lru_cache(maxsize=1024)
def cell_folder(run: Path, detector: str, seed: int) -> Path:
    """Where a run keeps the files of a detector under one seed."""
    return run / CELLS / detector / f"{SEED}{seed}"


def environment_file(run: Path, id: str) -> Path:
    return run / ENVIRONMENTS / f"{id}.json"


def cell_name(stage: str, mode: str) -> str:
    """What its files are called in the folder of its detector and seed."""
    return f"{stage}_{mode}" if mode else stage


def records_file(run: Path, detector: str, seed: int, stage: str, mode: str) -> Path:
    return cell_folder(run, detector, seed) / RECORDS / f"{cell_name(stage, mode)}.jsonl"


def progress_file(run: Path, detector: str, seed: int, stage: str, mode: str) -> Path:
    return cell_folder(run, detector, seed) / PROGRESS / f"{cell_name(stage, mode)}.json"


def log_file(run: Path, detector: str, seed: int, stage: str, mode: str) -> Path:
    return cell_folder(run, detector, seed) / LOGS / f"{cell_name(stage, mode)}.log"


def tracker_folder(
    run: Path, tracker: str, detector: str, seed: int, stage: str, mode: str
) -> Path:
    return cell_folder(run, detector, seed) / TRACKERS / tracker / cell_name(stage, mode)


def detections_name(mode: str = "") -> str:
    """What the evaluation found, or a quantised mode when it was checked."""
    return DETECTIONS.replace(".", f"_{mode}.") if mode else DETECTIONS


def analysis_name(mode: str = "") -> str:
    return ANALYSIS.replace(".", f"_{mode}.") if mode else ANALYSIS


def error_file(cell: Path, stage: str, mode: str) -> Path:
    """The traceback of a stage that failed, for nobody foresaw why."""
    return cell / f"{cell_name(stage, mode)}_error.txt"


def call_file(run: Path, id: str) -> Path:
    return run / CALLS / f"{id}.json"


def records_files(run: Path) -> list[Path]:
    """Of all cells, by detector, seed and stage."""
    return [path for _, _, path in cells_with(run, f"{RECORDS}/*.jsonl")]


def cells_with(run: Path, name: str) -> Iterator[tuple[str, int, Path]]:
    """(detector, seed, file) of each file of this name or pattern, by detector and seed."""
    found = []
    for path in (run / CELLS).glob(f"*/{SEED}*/{name}"):
        detector, folder = path.relative_to(run / CELLS).parts[:2]
        if (seed := folder.removeprefix(SEED)).isdecimal():
            found.append((detector, int(seed), path))
    yield from sorted(found)


def runs_in(folder: Path, depth: int = 1) -> list[Path]:
    """The folder itself if it is a run, else the runs in it, with `depth` 2 those of its suites."""
    if is_run(folder):
        return [folder]
    patterns = ["/".join("*" * k) for k in range(1, depth + 1)]
    return [path for pattern in patterns for path in sorted(folder.glob(pattern)) if is_run(path)]


def is_run(folder: Path) -> bool:
    """Whether a plan or records lie in it."""
    return (folder / PLAN).is_file() or bool(records_files(folder))
