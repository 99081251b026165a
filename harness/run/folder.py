"""The folder of a run: a new one, or an earlier one that goes on."""

import re
from pathlib import Path

from harness.errors import UserError
from harness.records.layout import PLAN

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def create_folder(results: Path, suite: str, run_id: str) -> Path:
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
        hint = "continue it with --resume, or choose --run-id"
        raise UserError("this run already exists", where=path, hint=hint) from error
    except OSError as error:
        found = f"cannot be made: {error.strerror}"
        raise UserError(found, where=path, hint="choose a folder with --results") from error
    return path


def open_folder(results: Path, suite: str, run_id: str | None) -> Path:
    """The folder of an earlier run: the named one, or the latest of the suite.

    Raises:
        UserError: there is none.
    """
    base = results / suite
    plans = base.glob(f"*/{PLAN}") if run_id is None else [base / run_id / PLAN]
    found = [path for path in plans if path.is_file()]
    if not found:
        raise UserError("there is no run to resume", where=base / (run_id or ""))
    return max(found, key=lambda path: path.stat().st_mtime).parent
