"""The folder for data that is made once."""

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
    """Let torch's compiler keep its graphs and kernels here, so that none is compiled twice.

    $TORCHINDUCTOR_CACHE_DIR is respected. Compilers started by this process inherit the place.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "compiled"))


def make_folder(
    folder: Path, fill: Callable[[Path], None], complete: Callable[[Path], bool]
) -> None:
    """Make a folder whole or not at all; an incomplete one is made anew.

    Several processes may do this at once: each fills a folder of its own, the first to finish
    puts it into place, and the others throw theirs away.

    Args:
        folder: where it is to be.
        fill: writes the contents into an empty folder.
        complete: says whether a folder holds everything.

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
            _put_into_place(draft, folder, complete)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"cannot be made: {error.strerror or error}",
            where=folder,
            hint="set HARNESS_CACHE to a folder with room that can be written",
        ) from error


def _put_into_place(draft: Path, folder: Path, complete: Callable[[Path], bool]) -> None:
    if folder.exists() and not complete(folder):
        folder.rename(draft / "old")
    try:
        (draft / "new").rename(folder)
    except OSError:
        if not complete(folder):  # else another process was first
            raise
