"""The folder of cached data: made once, complete or not at all."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness.errors import UserError


def cache_folder() -> Path:
    """$HARNESS_CACHE, else harness/ in $XDG_CACHE_HOME, else ~/.cache/harness."""
    own, shared = os.environ.get("HARNESS_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own).expanduser()
    return (Path(shared) if shared else Path.home() / ".cache") / "harness"


def keep_compiled_kernels() -> None:
    """Let torch's compiler cache its graphs and kernels here, so that none is compiled twice.

    $TORCHINDUCTOR_CACHE_DIR is respected. Compilers started by this process inherit it.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "compiled"))


def make_folder(
    folder: Path, fill: Callable[[Path], None], complete: Callable[[Path], bool]
) -> None:
    """Make a folder atomically; an incomplete one is replaced.

    Several processes may do this at once: each fills a folder of its own, the first to finish
    moves it into place, and the others delete theirs.

    Args:
        folder: where it belongs.
        fill: writes the contents into an empty folder.
        complete: whether a folder holds everything.

    Raises:
        UserError: the cache cannot be written.
    """
    if complete(folder):
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            fill(draft / "new")
            _move_into_place(draft, folder, complete)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"cannot be made: {error.strerror or error}",
            where=folder,
            hint="set HARNESS_CACHE to a writable folder with enough space",
        ) from error


def _move_into_place(draft: Path, folder: Path, complete: Callable[[Path], bool]) -> None:
    if folder.exists() and not complete(folder):
        folder.rename(draft / "old")
    try:
        (draft / "new").rename(folder)
    except OSError:
        if not complete(folder):  # else another process was first
            raise
