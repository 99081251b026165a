"""Counters of energy: of the processor by RAPL in Linux's powercap tree, of a GPU by NVML."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from harness_plugins.meters.gpu_state import Gpu, open_gpu

POWERCAP = Path("/sys/class/powercap")
COUNTED = ("package", "dram")  # cores are part of a package, psys is the whole computer
MOVES = 10
LONGEST_LOOK_S = 3.0
LOOK_EVERY_S = 0.0005


class Counter(Protocol):
    """Joules since some moment, in steps."""

    @property
    def name(self) -> str: ...

    def joules(self) -> float: ...


class CounterError(Exception):
    """Why no counter can be read, as a clause."""


class RaplCounter:
    """A domain of the powercap tree. It must be read at least once in each of its rounds.

    Those take minutes: a counter of 262 kJ at 300 W begins again after a quarter of an hour.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = _read(folder / "name")
        self.round = int(_read(folder / "max_energy_range_uj"))
        self.last = self._read()
        self.sum = 0

    def joules(self) -> float:
        now = self._read()
        self.sum += (now - self.last) % self.round
        self.last = now
        return self.sum / 1e6

    def _read(self) -> int:
        return int(_read(self.folder / "energy_uj"))


class GpuCounter:
    """A GPU that NVML counts the energy of, all that is on its board."""

    name = "GPU"

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        self.joules()  # or it has none

    def joules(self) -> float:
        counted = self.gpu.energy()
        if counted is None:
            raise CounterError("NVML does not count the energy of this GPU")
        return counted


def find_counters(device: torch.device, root: Path = POWERCAP) -> tuple[list[Counter], str]:
    """What counts the energy of work on a device, and why the processor's is missing, or "".

    On a GPU the processor's counters are added where they can be read.

    Args:
        root: of the powercap tree.

    Raises:
        CounterError: the device's own energy is not counted.
    """
    if device.type != "cuda":
        return rapl_counters(root), ""
    gpu = open_gpu(device)
    if gpu is None:
        raise CounterError("NVML cannot be asked")
    own: list[Counter] = [GpuCounter(gpu)]
    try:
        return own + rapl_counters(root), ""
    except CounterError as error:
        return own, str(error)


def rapl_counters(root: Path) -> list[Counter]:
    """The packages of the processor, and its memory where that has a counter of its own.

    Raises:
        CounterError: there are none, or one cannot be read.
    """
    # the same package may have a second interface, intel-rapl-mmio
    folders = sorted(root.glob("intel-rapl:*"))
    if not folders:
        raise CounterError(f"this system shows no RAPL counters in {root}")
    found: list[Counter] = []
    for folder in folders:
        try:
            if _read(folder / "name").startswith(COUNTED):
                found.append(RaplCounter(folder))
        except PermissionError as error:
            raise CounterError(
                f"{folder}/energy_uj is readable by root alone; chmod a+r permits it"
            ) from error
        except (OSError, ValueError) as error:
            raise CounterError(f"{folder} cannot be read ({error})") from error
    if not found:
        raise CounterError(f"{root} has no package or memory")
    return found


def find_step(
    counters: Sequence[Counter],
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Seconds between two steps of the slowest counter, by looking until each has moved often.

    Raises:
        CounterError: one does not move.
    """
    began = clock()
    last = [counter.joules() for counter in counters]
    moved: list[list[float]] = [[] for _ in counters]
    while min(map(len, moved)) < MOVES and clock() - began < LONGEST_LOOK_S:
        for i, counter in enumerate(counters):
            now = counter.joules()
            if now != last[i]:
                last[i] = now
                moved[i].append(clock())
        sleep(LOOK_EVERY_S)
    for counter, times in zip(counters, moved, strict=True):
        if len(times) < 2:
            raise CounterError(f"the counter of {counter.name} stands still")
    return max(float(np.median(np.diff(times))) for times in moved)


def _read(path: Path) -> str:
    return path.read_text().strip()
