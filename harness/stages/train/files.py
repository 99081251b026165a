"""Training states and checkpoints as files."""

import io
from pathlib import Path
from typing import Any

import torch

from harness.errors import UserError
from harness.files import write_atomic


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
            hint="delete it to train this cell anew",
        ) from error
