"""Locks that the operating system holds for a process and takes back when it ends, however it ends.

By flock(2). On a network file system the locks of other machines are seen where the server passes
them on: NFS from version 4 on, Lustre mounted with `flock`.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.errors import UserError
from harness.files import this_process


@contextmanager
def locked(path: Path, what: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a file, which is made for it and removed again.

    Args:
        what: is being done, for the error: "the cell tinydet_s/seed0/train".
        wait: until whoever holds it is done.

    Raises:
        UserError: another process holds it, or the folder cannot be written to.
    """
    handle = _take(path, what, wait)
    try:
        yield
    finally:
        # on a disk that has become read-only it stays, and is nobody's: what holds is the lock
        with suppress(OSError):
            path.unlink()
        os.close(handle)


def is_held(path: Path) -> bool:
    """Whether a process holds the lock of this file."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _take(path: Path, what: str, wait: bool) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                if _lock(handle, what, wait) and _is_there(path, handle):
                    _sign(path, handle)
                    return handle
            except BaseException:
                os.close(handle)  # or a disk that is full would leave it locked by ourselves
                raise
            os.close(handle)  # its last holder removed it in between, or somebody looked at it
    except OSError as error:
        raise UserError(f"cannot be locked: {error.strerror}", where=path) from error


def _lock(handle: int, what: str, wait: bool) -> bool:
    """Whether it is ours now; it is nobody's where another process only looks (`is_held`)."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 200).decode(errors="replace").strip()
            raise _busy(what, holder) from None
        return False
    return True


def _sign(path: Path, handle: int) -> None:
    """Write who holds it."""
    try:
        os.ftruncate(handle, 0)
        os.write(handle, this_process().encode())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _is_there(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _busy(what: str, holder: str) -> UserError:
    return UserError(
        f"{what} is being worked on by {holder or 'another process'}",
        hint="wait for it, or stop it there",
    )
