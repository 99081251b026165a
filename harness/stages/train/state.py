"""What a training leaves in its folder, and when it can be continued from there."""

import io
import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.errors import UserError, first_of
from harness.files import write_atomic
from harness.records.layout import CHECKPOINT, TRAIN_STATE

FORMAT = 3
RETRAIN = "retrain in another run (--run-id)"
LENGTHS = frozenset({"train.steps", "train.epochs"})  # settings that a training may go on under
SHOWN = 3  # differing settings that an error lists before it counts

State = dict[str, Any]


def read_state(folder: Path) -> State | None:
    """The state that a training left in its folder, or None.

    Raises:
        UserError: damaged or hostile, or written by another version of this file.
    """
    path = folder / TRAIN_STATE
    if not path.exists():
        return None
    state = load_safely(path)
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UserError(f"is not a training state of format {FORMAT}", where=path, hint=RETRAIN)
    return state


def is_done(state: State, folder: Path, fingerprint: str) -> bool:
    """Of a finished training under the same fingerprint whose checkpoint is still there."""
    same = state["done"] and state["fingerprint"] == fingerprint
    return same and (folder / CHECKPOINT).exists()


def check_resumable(
    state: State, folder: Path, fingerprint: str, identity: Mapping[str, Any], processes: int
) -> None:
    """Whether a training can go on from here; a longer one of the same settings can.

    Raises:
        UserError: the state is of other settings, each named, or another number of processes, or
            done with its checkpoint gone.
    """
    where = folder / TRAIN_STATE
    if state["fingerprint"] != fingerprint:
        changed = _changes(json.loads(state["identity"]), json.loads(pack(identity)))
        if not changed or changed.keys() - LENGTHS:
            raise UserError(
                f"was written under other settings: {_told(changed)}",
                where=where,
                hint=f"use the settings it was started with, or {RETRAIN}",
            )
    elif state["done"]:
        raise UserError(f"is marked as done, but {CHECKPOINT} is gone", where=where, hint=RETRAIN)
    if state["processes"] != processes:
        raise UserError(
            f"was written by {state['processes']} processes, now there are {processes}",
            where=where,
            hint=f"launch as many as before, or {RETRAIN}",
        )


def pack(identity: Mapping[str, Any]) -> str:
    """Settings as a state keeps them."""
    return json.dumps(identity, sort_keys=True, default=str)


def _changes(before: Any, now: Any, name: str = "") -> dict[str, tuple[Any, Any]]:
    """Setting -> its old and its new value, of those that differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in sorted({*before, *now}):
            inner = f"{name}.{key}".lstrip(".")
            found |= _changes(before.get(key), now.get(key), inner)
        return found
    return {} if before == now else {name: (before, now)}


def _told(changed: Mapping[str, tuple[Any, Any]]) -> str:
    told = [f"{name} was {before}, is now {now}" for name, (before, now) in changed.items()]
    return first_of(told, SHOWN, "; ") or "of the plan"


def write_state(folder: Path, state: State) -> None:
    """Atomically; UserError as `save_atomic`."""
    save_atomic(folder / TRAIN_STATE, {"format": FORMAT, **state})


def write_checkpoint(folder: Path, state_dict: State, meta: State) -> None:
    """Weights in the format of every checkpoint reader; UserError as `save_atomic`."""
    save_atomic(folder / CHECKPOINT, {"state_dict": state_dict, "meta": meta})


def save_atomic(path: Path, content: Any) -> None:
    """`torch.save`, atomically. Packed in memory first: a disk that fills up is then an OSError."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomic(path, buffer.getbuffer())


def load_safely(path: Path) -> Any:
    """`torch.load` on the CPU, of tensors and plain values only.

    Raises:
        UserError: unreadable, damaged, or holding anything that would execute.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds here
        first_line = str(error).strip().split("\n")[0]
        raise UserError(
            f"not a readable training file: {type(error).__name__}: {first_line}",
            where=path,
            hint="delete it to retrain this cell",
        ) from error


def capture_rng(device: torch.device) -> State:
    """Random states of torch, CUDA's if `device` is one, numpy and Python, for a safe load."""
    numpy_state: Any = np.random.get_state(legacy=True)
    kind, keys, *rest = numpy_state
    state: State = {
        "torch": torch.get_rng_state(),
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), *rest],
        "python": random.getstate(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_rng(state: State, device: torch.device) -> None:
    """Undo whatever happened since `capture_rng`."""
    kind, keys, *rest = state["numpy"]
    torch.set_rng_state(state["torch"])
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


@contextmanager
def preserved_rng() -> Iterator[None]:
    """What runs inside leaves the host's random states as they were.

    Opening a data loader draws from torch's generator, and a resumed run opens one more often.
    """
    state = capture_rng(torch.device("cpu"))
    try:
        yield
    finally:
        restore_rng(state, torch.device("cpu"))


@contextmanager
def unchanged_rng(device: torch.device) -> Iterator[None]:
    """As `preserved_rng`, the device's random state as well."""
    before = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    with preserved_rng():
        yield
    # written only where it must be: captured steps hold on to the generator
    if before is not None and not torch.equal(before, torch.cuda.get_rng_state(device)):
        torch.cuda.set_rng_state(before, device)
