"""What other processes do on a GPU, from readings as NVML gives them."""

import os
from types import SimpleNamespace

import pynvml
import pytest
import torch

from harness.plugin.metrics import Finding
from harness_plugins.meters import device_state, gpu_state
from harness_plugins.meters.device_state import Watch
from harness_plugins.meters.gpu_state import (
    SETTLE_S,
    GpuState,
    NvmlGpu,
    ProcessUse,
    others_percent,
    own_pid,
)

OURS, THEIRS = os.getpid(), 4_000_001
START = 1_000.0


class Readings:
    """A GPU that says what it is told to, and a clock that goes on while one sleeps."""

    def __init__(self, pids=(OURS,), uses=(), busy=lambda seconds: 0, throttling=()):
        self.time = START
        self.all_pids = list(pids) if isinstance(pids, tuple) else pids
        self.uses, self.busy, self.throttling = uses, busy, throttling

    def state(self):
        return GpuState(1500, 2000, 50, self.throttling)

    def pids(self):
        found = self.all_pids
        return found.pop(0) if found and isinstance(found[0], tuple) else found

    def utilization(self):
        return self.busy(self.time - START)

    def process_uses(self, since):
        return None if self.uses is None else [use for use in self.uses if use.at > since]

    def others(self, since=None):
        return others_percent(self, since, lambda: self.time, self.sleep)

    def sleep(self, seconds):
        self.time += seconds


def used(pid, percent, at=START - 0.2):
    return ProcessUse(pid, at, percent)


def test_our_own_last_stage_is_no_other_work():
    gpu = Readings(uses=(used(OURS, 97), used(OURS, 80, START - 0.7)), busy=lambda _: 90)
    assert gpu.others() == 0


def test_use_of_others_is_added_up_over_processes_and_averaged_over_samples():
    uses = (used(OURS, 90), used(THEIRS, 10), used(THEIRS, 30, START - 0.5), used(THEIRS + 1, 5))
    gpu = Readings((OURS, THEIRS, THEIRS + 1), (*uses, used(THEIRS, 100, START - 60)))
    assert gpu.others() == 25
    assert gpu.others(since=START - 0.3) == 15
    assert Readings((OURS, THEIRS), (used(OURS, 90),)).others() == 0, "an idle one"


def test_the_hosts_number_of_the_only_process_is_ours():
    """In a container."""
    assert own_pid([THEIRS]) == THEIRS
    assert own_pid([THEIRS, OURS]) == OURS
    assert own_pid([THEIRS, THEIRS + 1]) is None
    assert own_pid([]) is None
    assert Readings((THEIRS,), (used(THEIRS, 99),)).others() == 0


@pytest.mark.parametrize(
    "unknown", [{"uses": None}, {"pids": (THEIRS, THEIRS + 1)}, {"pids": ()}, {"pids": None}]
)
def test_where_ours_cannot_be_told_it_leaves_the_window_first(unknown):
    fading = Readings(busy=lambda seconds: 60 if seconds < 1 else 0, **unknown)
    assert fading.others() == 0
    assert 1 <= fading.time - START < 1.5
    lasting = Readings(busy=lambda seconds: 60 if seconds < 1 else 30, **unknown)
    assert lasting.others() == 30
    assert SETTLE_S <= lasting.time - START < SETTLE_S + 0.5
    idle = Readings(**unknown)
    assert (idle.others(), idle.time) == (0, START), "nothing to wait for"
    assert Readings(busy=lambda _: None, **unknown).others() is None
    assert lasting.others(since=START) is None, "our own work is in it"


@pytest.fixture
def watch(monkeypatch):
    """Warnings and conditions of a GPU that gives these readings."""
    monkeypatch.setattr(device_state, "IDLE_WINDOW_S", 0)
    monkeypatch.setattr(device_state, "synchronize", lambda device: None)
    monkeypatch.setattr(gpu_state, "WINDOW_S", 1e10)  # of made-up times
    monkeypatch.setattr(gpu_state, "SETTLE_S", 0)
    # not the processor: it is whatever it is
    monkeypatch.setattr(device_state, "other_cores", lambda *_: 0.0)

    def make(gpu):
        monkeypatch.setattr(device_state, "open_gpu", lambda device: gpu)
        watch = Watch(torch.device("cuda", 0))
        with watch.watching():
            pass
        return watch.warnings, watch.conditions

    return make


def test_a_gpu_that_only_we_use_gives_no_doubt(watch):
    warnings, conditions = watch(Readings(uses=(used(OURS, 100),), busy=lambda _: 100))
    assert warnings == []
    assert conditions["gpu_others_percent_before"] == 0
    assert conditions["gpu_sm_clock_mhz_after"] == 1500
    assert conditions["gpu_other_processes_after"] == 0


def test_other_work_before_and_meanwhile_is_a_doubt(watch):
    warnings, _ = watch(Readings((OURS, THEIRS), (used(THEIRS, 40),)))
    assert warnings == [Finding("busy_gpu", params={"percent": 40, "moment": "before"})]
    later = (used(THEIRS, 70, 1e12),)
    meanwhile = Finding("busy_gpu", params={"percent": 70, "moment": "meanwhile"})
    assert meanwhile in watch(Readings((OURS, THEIRS), later))[0]


def test_throttling_is_a_doubt_told_once(watch):
    throttled = Finding("throttled", params={"reason": "power cap"})
    assert watch(Readings(throttling=("power cap",)))[0] == [throttled]


def test_newcomers_are_a_doubt_where_their_use_is_not_known(watch):
    several = [(OURS,), (OURS,), (OURS, THEIRS), (OURS, THEIRS)]
    newcomers = Finding("newcomers_on_gpu", params={"count": 1})
    assert watch(Readings(several, None))[0] == [newcomers]
    idle = [(OURS, THEIRS)] * 4
    assert watch(Readings(idle, None))[0] == []


def test_without_nvml_it_is_said_and_no_more(watch):
    warnings, conditions = watch(None)
    assert conditions["gpu"] is None
    assert warnings == [Finding("gpu_unknown", "remark")]


def test_samples_as_nvml_gives_them(monkeypatch):
    entries = [
        SimpleNamespace(pid=7, timeStamp=2_000_000_000, smUtil=33),
        SimpleNamespace(pid=7, timeStamp=1_000_000_000, smUtil=99),  # from before
        SimpleNamespace(pid=0, timeStamp=2_000_000_000, smUtil=99),  # an empty slot
        SimpleNamespace(pid=8, timeStamp=2_000_000_000, smUtil=4_294_967),  # garbage
    ]
    monkeypatch.setattr(pynvml, "nvmlDeviceGetProcessUtilization", lambda handle, since: entries)
    assert NvmlGpu(None).process_uses(1500.0) == [ProcessUse(7, 2000.0, 33)]


@pytest.mark.parametrize(
    ("error", "found"),
    [(pynvml.NVML_ERROR_NOT_FOUND, []), (pynvml.NVML_ERROR_NOT_SUPPORTED, None)],
)
def test_nobody_is_another_answer_than_none(monkeypatch, error, found):
    def refuse(*_):
        raise pynvml.NVMLError(error)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetProcessUtilization", refuse)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", refuse)
    assert NvmlGpu(None).process_uses(0.0) == found
    assert NvmlGpu(None).utilization() is None
