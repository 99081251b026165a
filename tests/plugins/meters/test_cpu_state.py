"""What counts as other work on the processor, against real processes."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psutil
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from harness_plugins.meters.cpu_state import (
    CpuTimes,
    child_cores,
    family_seconds,
    other_cores,
    read_cpu_times,
)

BURN_S = 0.4
# a process that no longer belongs to us burns a core until it is killed
STRANGER = """
import os
if os.fork():
    os._exit(0)
os.setsid()
print(os.getpid(), flush=True)
os.close(1)
while True:
    pass
"""

QUIET = CpuTimes(wall=0, busy=10, idle=100, own=5, children=2)


class Burning(Dataset[int]):
    """Each item takes a worker this long of its core."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> int:
        burn(BURN_S / 4)
        return index


def burn(seconds: float) -> None:
    """Seconds of CPU time, however long that takes here."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def used_by_family() -> float:
    return sum(family_seconds())


@contextmanager
def strange_process() -> Iterator[int]:
    """Of this test's making, and yet no descendant: its parent has ended."""
    started = subprocess.run([sys.executable, "-c", STRANGER], stdout=subprocess.PIPE, check=True)
    pid = int(started.stdout)
    try:
        yield pid
    finally:
        os.kill(pid, 9)


def test_what_is_neither_ours_nor_our_childrens_is_others():
    after = CpuTimes(wall=10, busy=27, idle=103, own=14, children=5)
    assert other_cores(QUIET, after) == pytest.approx((17 - 9 - 3) / 10)
    assert child_cores(QUIET, after) == pytest.approx(0.3)
    assert other_cores(QUIET, replace(after, busy=18)) == 0.0


def test_what_the_system_does_not_tell_is_not_known():
    assert other_cores(QUIET, replace(QUIET, wall=10)) is None
    assert other_cores(QUIET, replace(QUIET, wall=0.02, busy=10.02)) is None, "two ticks"


def test_our_own_threads_are_not_others():
    before = read_cpu_times()
    threads = [threading.Thread(target=burn, args=(BURN_S,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_cpu_times().own - before.own >= 0.9 * BURN_S


def test_a_child_counts_alike_while_it_lives_when_it_has_ended_and_once_it_is_reaped():
    """What it did before we looked first must not arrive when it is reaped."""
    before = family_seconds()[1]
    burn_then_wait = f"""
import time
while time.process_time() < {BURN_S}:
    pass
print("burned", flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", burn_then_wait], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        child.stdout.readline()  # others may have the cores, so by no clock
        begun = read_cpu_times()
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        ended = read_cpu_times()
        child.wait()
        reaped = read_cpu_times()
    assert begun.children - before >= 0.9 * BURN_S, "user and system time are cut to whole ticks"
    assert 0 <= ended.children - begun.children < BURN_S / 3
    assert reaped.children - ended.children == pytest.approx(0, abs=0.03)
    assert reaped.own - begun.own < BURN_S / 3


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["alive", "ended"])
def test_loader_workers_are_ours(moment):
    before, begun = used_by_family(), read_cpu_times()
    loader = DataLoader(Burning(), num_workers=2, persistent_workers=True)
    assert torch.cat(list(loader)).tolist() == list(range(8))
    if moment == "ended":
        del loader
        assert not multiprocessing.active_children()
    assert used_by_family() - before >= 8 * BURN_S / 4
    after = read_cpu_times()
    assert after.children - begun.children >= 0.9 * 8 * BURN_S / 4
    # what others did has its own test; ours must not be added to it. Starting the workers
    # takes time of its own, so this bounds from above only
    strangers = other_cores(begun, after)
    wall = after.wall - begun.wall
    assert strangers is not None
    assert strangers <= max(0.0, (after.busy - begun.busy - 8 * BURN_S / 4) / wall) + 0.2


def test_a_process_that_is_not_ours_is():
    with strange_process() as pid:
        before, mine = read_cpu_times(), stat_seconds(pid)
        while stat_seconds(pid) - mine < BURN_S:
            time.sleep(0.05)
        after, seen = read_cpu_times(), stat_seconds(pid) - mine
    found = other_cores(before, after)
    assert found is not None
    assert found >= 0.9 * seen / (after.wall - before.wall)


def stat_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system
