"""The folder of a run, a new one or an earlier one that goes on, and the calls that it takes."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from harness.errors import UserError
from harness.files import write_json
from harness.plan.calls import Call, read_call, write_call
from harness.plan.cells import Plan
from harness.plan.joining import join_plans
from harness.plan.planner import resolved
from harness.records import layout
from harness.records.locks import is_held, locked
from harness.results.run_folder import read_plan
from harness.run.checks import used_splits
from harness.run.launch import Launch
from harness.stages.metrics import METRICS

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def create_folder(launch: Launch, results: Path, suite: str, run_id: str | None) -> Path:
    """Make the folder of a new run. Only the first process does; the others are told its name.

    Raises:
        UserError: it exists already, cannot be made, or `run_id` is not a name.
    """
    new = datetime.now().strftime("%Y%m%d-%H%M%S")
    name = launch.agree(new if run_id is None else run_id)
    path = results / suite / name
    if not launch.is_main:
        return path
    if not NAME.fullmatch(name):
        raise UserError(f"'{name}' is not a name", where="--run-id", hint="letters, digits, ._-")
    try:
        path.mkdir(parents=True, exist_ok=False)
    except FileExistsError as error:
        hint = "continue it with --resume, or choose --run-id"
        raise UserError("this run already exists", where=path, hint=hint) from error
    except OSError as error:
        found = f"cannot be made: {error.strerror}"
        raise UserError(found, where=path, hint="choose a folder with --results") from error
    return path


def open_folder(launch: Launch, results: Path, suite: str, run_id: str | None) -> Path:
    """The folder of an earlier run, the same for all processes: the named, or the suite's latest.

    Raises:
        UserError: there is none.
    """
    base = results / suite
    plans = base.glob(f"*/{layout.PLAN}") if run_id is None else [base / run_id / layout.PLAN]
    found = [path for path in plans if path.is_file()]
    if not found:
        raise UserError("there is no run to resume", where=base / (run_id or ""))
    latest = max(found, key=lambda path: path.stat().st_mtime).parent
    return latest.with_name(launch.agree(latest.name))


@contextmanager
def register_call(plan: Plan, call: Call, folder: Path) -> Iterator[bool]:
    """Add the call and its cells to the plan of the run, and hold them until it is over.

    Returns:
        whether the run was planned like this before.

    Raises:
        UserError: a call that goes on has some of the cells.
    """
    id = f"{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"
    path = layout.call_file(folder, id)
    with ExitStack() as held:
        with locked(folder / layout.PLAN_LOCK, "the plan", wait=True):
            _refuse_overlap(folder, call)
            write_call(path, call)
            held.enter_context(locked(path.with_suffix(".lock"), f"the call {id}"))
            splits = {
                split.name: {
                    "images": split.images.absolute(), "annotations": split.annotations.absolute()
                }
                for split in used_splits(plan)
            }  # fmt: skip
            metrics = plan.catalog.joined(METRICS).to_json()
            own = {"format": layout.FORMAT, **resolved(plan), "splits": splits, "metrics": metrics}
            own["cells"] = [{**cell, "call": id} for cell in own["cells"]]
            kept = folder / layout.PLAN
            before = read_plan(kept) if kept.is_file() else None
            joined = join_plans(before, own) if before is not None else own
            write_json(kept, joined)
        yield before is not None and _without_calls(joined) == _without_calls(before)


def _without_calls(plan: Any) -> Any:
    """As JSON reads it: a plan just made has tuples where one that was read has lists."""
    cells = [{key: cell[key] for key in cell if key != "call"} for cell in plan["cells"]]
    return from_json(to_json({**plan, "cells": cells}, fallback=str))


def _refuse_overlap(folder: Path, call: Call) -> None:
    for path in sorted((folder / layout.CALLS).glob("*.json")):
        if not is_held(path.with_suffix(".lock")):
            continue
        other = read_call(path)
        shared = [name for name in call.cells if name in frozenset(other.cells)]
        if shared:
            more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
            raise UserError(
                f"{other.process} runs {shared[0]}{more}",
                where=folder,
                hint="wait for it or stop it; --only, --stages and --seeds choose other cells",
            )
