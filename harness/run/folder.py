"""The folder of one run: what lies where."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.files import write_text
from harness.records.store import RecordStore
from harness.results.run import cell_folder, read_plan

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class RunFolder:
    """`results/<suite>/<run-id>/`."""

    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def records(self) -> RecordStore:
        return RecordStore(self.path / "records.jsonl")

    @property
    def table(self) -> Path:
        return self.path / "results.csv"

    @property
    def page(self) -> Path:
        return self.path / "report.html"

    def cell(self, detector: str, seed: int) -> Path:
        """Folder of a detector's files under one seed: checkpoint, training log, detections."""
        return cell_folder(self.path, detector, seed)

    def read_plan(self) -> Mapping[str, Any] | None:
        """What earlier calls of this run have planned, None in a new folder.

        Raises:
            UserError: it cannot be read.
        """
        path = self.path / "plan.json"
        return read_plan(path) if path.is_file() else None

    def write_json(self, name: str, value: Any) -> None:
        write_text(self.path / name, json.dumps(value, indent=2, default=str) + "\n")


def create_folder(results: Path, suite: str, run_id: str) -> RunFolder:
    """Make the folder of a new run.

    Raises:
        UserError: it exists already, cannot be made, or `run_id` is not a name.
    """
    if not NAME.fullmatch(run_id):
        raise UserError(f"'{run_id}' is not a name", where="--run-id", hint="letters, digits, ._-")
    path = results / suite / run_id
    try:
        path.mkdir(parents=True, exist_ok=False)
    except FileExistsError as error:
        raise UserError(
            "this run exists already",
            where=path,
            hint="continue it with --resume, or choose --run-id",
        ) from error
    except OSError as error:
        raise UserError(
            f"cannot be made: {error.strerror}", where=path, hint="choose a folder with --results"
        ) from error
    return RunFolder(path)


def open_folder(results: Path, suite: str, run_id: str | None) -> RunFolder:
    """The folder of an earlier run: the named one, or the latest of the suite.

    Raises:
        UserError: there is none.
    """
    base = results / suite
    if run_id is not None:
        found = [base / run_id] if (base / run_id / "plan.json").is_file() else []
    else:
        found = sorted(base.glob("*/plan.json"), key=lambda p: p.stat().st_mtime)
        found = [path.parent for path in found]
    if not found:
        raise UserError("there is no run to resume", where=base / (run_id or ""))
    return RunFolder(found[-1])
