"""Real measurements in processes of their own: what the machine's state makes doubtful.

How quiet a machine really was is known from a control: at the same moments the times of all
processes that are not of the measuring one's family are added up, process by process. A system
keeps its times of processes and of processors apart, one exactly and one by ticks: how far they
differ over all processes, the measuring one's family included, is how uncertain the control is.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import warm_processes

from harness_plugins.meters.device_state import BUSY_CORES

pytestmark = pytest.mark.slow

MARGIN = 0.15  # cores: ticks, and what happens between two readings

LOADERS = """
from torch.utils.data import DataLoader
loader = DataLoader(range(64), num_workers=2, persistent_workers=True)
assert sum(len(batch) for batch in loader) == 64
"""
BURNED_BY_CHILDREN = """
import subprocess
subprocess.run([sys.executable, "-c", "sum(range(10_000_000))"], check=True)
"""
HISTORIES = {
    "nothing": "",
    "workers alive": LOADERS,
    "workers ended": LOADERS + "del loader\n",
    "child ended": BURNED_BY_CHILDREN,
}
MEASURE = """
import json, os, sys, time
import psutil, torch
torch.set_num_threads(1)
sys.path.insert(0, {folder!r})
from conftest import TinyConvDetector
from harness.manifest.schema import Latency
from harness.stages.latency import measure_latency
from harness_plugins.meters import device_state
from harness_plugins.meters.latency import LatencyMeter

detector, images = TinyConvDetector(320), [torch.zeros(3, 320, 320, dtype=torch.uint8)] * 2
look, controls = device_state.read_cpu_times, []


def look_at_all():
    began, me = time.perf_counter(), psutil.Process()
    family = {{me.pid, *(child.pid for child in me.children(recursive=True))}}
    others = ours = 0.0
    for process in psutil.process_iter():
        try:
            seconds = sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
        if process.pid in family:
            ours += seconds
        else:
            others += seconds
    told = psutil.cpu_times()
    nobodys = told.irq + told.softirq + told.steal
    apart = others + ours - told.user - told.nice - told.system
    now = time.perf_counter()
    controls.append((now, others + nobodys, now - began, apart))
    return look()


device_state.read_cpu_times, device_state.IDLE_WINDOW_S = look_at_all, 1.0
{before}
settings = Latency(images=2, runs=200, warmup_seconds=0.2, threads=1)
found = measure_latency(detector, [LatencyMeter()], images, settings)
one = next(m for m in found if m.metric == "latency_network_p50")
pairs = list(zip(controls[::2], controls[1::2], strict=True))
cores = [(after[1] - before[1]) / (after[0] - before[0]) for before, after in pairs]
# looks take time, in which what is read first is older than what is read last
doubt = [
    (psutil.cpu_count() * (before[2] + after[2]) + abs(after[3] - before[3]))
    / (after[0] - before[0])
    for before, after in pairs
]
print(json.dumps([[w.code for w in one.warnings], dict(one.conditions), cores, max(doubt)]))
"""


def measure_after(before: str) -> tuple[list[str], dict[str, Any], list[float], float]:
    """Codes of warnings, conditions, cores that others used (before, and meanwhile), and how
    uncertain these are."""
    script = MEASURE.format(before=before, folder=str(Path(__file__).parent))
    done = warm_processes.run([sys.executable, "-c", script], stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    warnings, conditions, cores, doubt = json.loads(done.stdout.splitlines()[-1])
    assert len(cores) == 2
    return warnings, conditions, cores, MARGIN + doubt


@pytest.mark.parametrize("history", HISTORIES)
def test_only_what_others_did_is_a_doubt(history: str) -> None:
    warnings, conditions, (before, meanwhile), margin = measure_after(HISTORIES[history])
    assert conditions["other_cores_before"] == pytest.approx(before, abs=margin)
    assert conditions["other_cores"] == pytest.approx(meanwhile, abs=margin)
    assert conditions["child_cores"] < MARGIN
    assert "busy_children" not in warnings
    told, worst = "busy_cpu" in warnings, max(before, meanwhile)
    if abs(worst - BUSY_CORES) > margin:
        assert told == (worst > BUSY_CORES), (warnings, before, meanwhile)


def test_another_process_that_burns_a_core_is_a_doubt() -> None:
    burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])  # of no kin of it
    try:
        warnings, conditions, cores, _ = measure_after(HISTORIES["nothing"])
    finally:
        burner.kill()
        burner.wait()
    assert max(cores) > BUSY_CORES
    assert "busy_cpu" in warnings, (warnings, conditions)
