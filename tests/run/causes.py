"""A plugin for the tests of what happens to a run from outside: a detector that does it itself."""

import resource
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch
from tiny_detectors import TinyDetector
from torch import Tensor

from harness.data.batch import Inputs, Targets
from harness.plugin.declarations import Params, WholeDetector
from harness.plugin.hookspecs import hookimpl

ROOM = 3 * 2**30  # bytes of address space that are left to a process, beside what it has


class CauseParams(Params):
    """What happens at the third step, and to which file or folder."""

    what: Literal["", "vanish", "clock", "memory", "full", "locked"] = ""
    place: str = ""


class Fated(TinyDetector):
    def __init__(self, num_classes: int, what: str, place: str) -> None:
        super().__init__(num_classes, "", "", 8)
        self.happening, self.place, self.calls = what, Path(place), 0

    def losses(self, inputs: Inputs, targets: Targets) -> dict[str, Tensor]:
        self.calls += 1
        if self.calls == 3 and self.happening:
            HAPPENINGS[self.happening](self.place)
        return super().losses(inputs, targets)


def vanish(place: Path) -> None:
    place.rename(place.with_suffix(".gone"))


def jump(place: Path) -> None:
    """The clock goes back by a day, then on by two, and so on."""
    true, jumps = time.time, iter(range(10**9))
    time.time = lambda: true() + (86_400 if next(jumps) % 2 else -86_400)


def run_out_of_memory(place: Path) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, most))
    torch.zeros(2 * ROOM, dtype=torch.uint8)


def fill(place: Path) -> None:
    """A disk, to the last page; the file is opened once."""
    with suppress(FileExistsError, OSError), place.open("xb", buffering=0) as ballast:
        while ballast.write(b"0" * 4096):
            pass


def lock(place: Path) -> None:
    """A disk, once: nothing can be written to it any more."""
    done = place.with_suffix(".locked")
    if done.exists():
        return
    done.touch()
    # on top of itself: as it is, it would be too busy
    for options in (["--bind", str(place)], ["-o", "remount,ro,bind"]):
        subprocess.run(["mount", *options, str(place)], check=True)


HAPPENINGS = {
    "vanish": vanish,
    "clock": jump,
    "memory": run_out_of_memory,
    "full": fill,
    "locked": lock,
}


def build_fated(num_classes: int, **params: Any) -> Fated:
    return Fated(num_classes, **params)


@hookimpl
def harness_detectors() -> list[WholeDetector]:
    return [WholeDetector("fated", "causes:build_fated", CauseParams, "to which things happen")]
