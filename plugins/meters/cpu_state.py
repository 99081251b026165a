"""Who keeps the processor busy: this process with all that it started, or others."""

import os
import time
from dataclasses import dataclass

import psutil

from harness.records.environment import usable_cores

SHORTEST_LOOK_S = 0.1  # the system counts in ticks of 10 ms
LOOKS = 5


@dataclass(frozen=True)
class CpuTimes:
    """Seconds since some moment.

    Attributes:
        wall: on the clock.
        busy, idle: of the cores that this process may run on.
        own: of this process, all its threads.
        children: of all processes that it started, and that those started.
    """

    wall: float
    busy: float
    idle: float
    own: float
    children: float


def read_cpu_times() -> CpuTimes:
    """Busy and idle time summed over the cores that this process may run on."""
    allowed = usable_cores()
    own, children = family_seconds()
    cores = [times for i, times in enumerate(psutil.cpu_times(percpu=True)) if i in allowed]
    idle = sum(core.idle + getattr(core, "iowait", 0.0) for core in cores)
    # guest time is already part of user time
    fields = ("user", "nice", "system", "irq", "softirq", "steal")
    busy = sum(getattr(core, field, 0.0) for core in cores for field in fields)
    return CpuTimes(time.perf_counter(), busy, idle, own, children)


def family_seconds() -> tuple[float, float]:
    """CPU time of this process, and of all that it started.

    A child's time is its own until it is reaped, and from then on in its parent's sum: so both are
    added up, and the total grows by what was really used, whatever is born or ends meanwhile.
    """
    me = psutil.Process()
    for _ in range(LOOKS):
        alive = me.children(recursive=True)
        seconds = sum(filter(None, map(_seconds, alive)))
        own = me.cpu_times()
        # one that was reaped while we looked would be counted twice, or not at all
        if all(child.is_running() for child in alive):
            break
    return own.user + own.system, own.children_user + own.children_system + seconds


def _seconds(process: psutil.Process) -> float | None:
    """Its own and its reaped children's; None once it is gone."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return None
    return float(times.user + times.system + times.children_user + times.children_system)


def other_cores(before: CpuTimes, after: CpuTimes) -> float | None:
    """How many cores other processes than ours kept busy in between.

    None where the system does not tell, or the time was too short for its ticks.
    """
    wall, busy = after.wall - before.wall, after.busy - before.busy
    if wall < SHORTEST_LOOK_S or busy + after.idle - before.idle <= 0:
        return None
    ours = after.own - before.own + after.children - before.children
    return max(0.0, (busy - ours) / wall)


def child_cores(before: CpuTimes, after: CpuTimes) -> float:
    """How many cores the processes that we started kept busy in between."""
    return max(0.0, (after.children - before.children) / max(after.wall - before.wall, 1e-9))


def load_average() -> float | None:
    """Of the last minute: our own work of that minute is in it."""
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def cpu_clock() -> float | None:
    """MHz, None where the system does not tell."""
    try:
        clock = psutil.cpu_freq()
    except (OSError, NotImplementedError, RuntimeError):
        return None
    return round(clock.current) if clock else None
