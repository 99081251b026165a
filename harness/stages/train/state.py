"""What stands in a training's folder, and when it may be continued."""

from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.stages.train.files import load_safely, save_atomic

FORMAT = 2
CHECKPOINT, STATE, LOG = "checkpoint.pt", "state.pt", "train_log.jsonl"

State = dict[str, Any]


def read_state(folder: Path) -> State | None:
    """The state that a training left in its folder, or None.

    Raises:
        UserError: damaged or hostile, or written by another version of this file.
    """
    path = folder / STATE
    if not path.exists():
        return None
    state = load_safely(path)
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UserError(
            f"is not a training state of format {FORMAT}",
            where=path,
            hint="train anew in another run (--run-id)",
        )
    return state


def is_done(state: State | None, folder: Path, fingerprint: str) -> bool:
    """A finished training under the same fingerprint, with its checkpoint still there."""
    return (
        state is not None
        and state["done"]
        and state["fingerprint"] == fingerprint
        and (folder / CHECKPOINT).exists()
    )


def check_resumable(state: State, folder: Path, fingerprint: str, processes: int) -> None:
    """Raises:
    UserError: the state is of other settings or another number of processes, or done with
        its checkpoint gone.
    """
    where, anew = folder / STATE, "train anew in another run (--run-id)"
    if state["fingerprint"] != fingerprint:
        raise UserError(
            f"was written under other settings (fingerprint {state['fingerprint']}, "
            f"now {fingerprint})",
            where=where,
            hint=f"use the settings it was started with, or {anew}",
        )
    if state["done"]:
        raise UserError(f"says done, but {CHECKPOINT} is gone", where=where, hint=anew)
    if state["processes"] != processes:
        raise UserError(
            f"was written by {state['processes']} processes, now there are {processes}",
            where=where,
            hint=f"launch as many as before, or {anew}",
        )


def write_state(folder: Path, state: State) -> None:
    """Atomically; UserError as `save_atomic`."""
    save_atomic(folder / STATE, {"format": FORMAT, **state})


def write_checkpoint(folder: Path, state_dict: State, meta: State) -> Path:
    """Weights as every checkpoint reader takes them; UserError as `save_atomic`."""
    path = folder / CHECKPOINT
    save_atomic(path, {"state_dict": state_dict, "meta": meta})
    return path
