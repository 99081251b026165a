"""Files that are there whole or not at all."""

import io
import os
from pathlib import Path
from typing import Any

import torch

from harness.errors import UserError


def write_atomic(path: Path, data: bytes | memoryview) -> None:
    """Replace `path` by `data`; after a failure what stood there still stands.

    Raises:
        UserError: the disk is full, the folder read-only and the like.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)  # noqa: PTH105 (tests make this very call fail)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        mend = "what was there is intact; make room or permit writing, then --resume"
        raise UserError(f"cannot write: {error.strerror}", where=path, mend=mend) from error


def sync_folder(folder: Path) -> None:
    """Bring a rename to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
            mend="delete it to train this cell anew",
        ) from error
