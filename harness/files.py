"""Files that are there whole or not at all, and what they are known by."""

import hashlib
import json
import os
import socket
from glob import escape
from pathlib import Path
from typing import Any

import psutil
from pydantic_core import to_json

from harness.errors import UserError


def this_process() -> str:
    """ "process N on HOST"."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def write_atomic(path: Path, data: bytes | memoryview) -> None:
    """Replace `path` by `data`; after a failure the old content is still there.

    Raises:
        UserError: the disk is full, the folder read-only and the like.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{socket.gethostname()}.tmp")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)  # noqa: PTH105 (tests make this very call fail)
            sync_folder(path.parent)
            _remove_left_over(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        hint = "what was there is intact; make room or permit writing, then --resume"
        raise UserError(f"cannot be written: {error.strerror}", where=path, hint=hint) from error


def _remove_left_over(path: Path) -> None:
    """What killed processes of this machine have left of the same file."""
    own = f".{socket.gethostname()}.tmp"
    for found in path.parent.glob(f".{escape(path.name)}.*{escape(own)}"):
        process = found.name.removeprefix(f".{path.name}.").removesuffix(own)
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            found.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """`write_atomic` of UTF-8 text."""
    write_atomic(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """`write_atomic` of plain data as indented JSON; what JSON does not know becomes a string."""
    write_atomic(path, to_json(value, indent=2, fallback=str) + b"\n")


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file of JSON objects, [] where there is not a file.

    A last line that is being written, or that a kill cut short, is left out.

    Raises:
        ValueError: a whole line is not JSON.
    """
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def read_tail(path: Path) -> str:
    """The last line of a text file that is not empty, "" without one."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 4096))
            lines = stream.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_file(path: Path) -> str:
    """The first 16 digits of `sha256_of`."""
    return sha256_of(path)[:16]


def sync_folder(folder: Path) -> None:
    """Bring a rename to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
