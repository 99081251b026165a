"""Energy by counters as Linux and NVML show them: a powercap tree and a GPU that tests advance."""

import math
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pynvml
import pytest
import torch

from harness.manifest.schema import Latency
from harness.stages.latency import measure_latency
from harness_plugins.meters import device_state, energy, energy_counters
from harness_plugins.meters.energy import Energy
from harness_plugins.meters.energy_counters import (
    CounterError,
    GpuCounter,
    RaplCounter,
    find_counters,
    find_step,
    rapl_counters,
)
from harness_plugins.meters.gpu_state import NvmlGpu

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
QUICK = Latency(images=2, runs=2, warmup_runs=2, warmup_seconds=0)
IDLE_W, BUSY_W = 10.0, 30.0
TICK_S = 0.002


class Domain:
    """A folder of the tree; its file changes as a whole, as the system's do."""

    def __init__(self, root: Path, number: str, name: str, start: int = 0, round: int = 2**38):
        self.folder, self.count, self.round = root / f"intel-rapl:{number}", start, round
        self.folder.mkdir(parents=True)
        (self.folder / "name").write_text(f"{name}\n")
        (self.folder / "max_energy_range_uj").write_text(f"{round}\n")
        self.add(0)

    def add(self, microjoules: float) -> None:
        self.count = (self.count + int(microjoules)) % self.round
        new = self.folder / "new"
        new.write_text(f"{self.count}\n")
        os.replace(new, self.folder / "energy_uj")  # noqa: PTH105


class Machine:
    """Draws more while it is busy; a thread advances its domains."""

    def __init__(self, *domains: Domain) -> None:
        self.domains, self.busy, self.ends = domains, False, threading.Event()
        self.thread = threading.Thread(target=self.draw, daemon=True)
        self.thread.start()

    def draw(self) -> None:
        last = time.perf_counter()
        while not self.ends.wait(TICK_S):
            now = time.perf_counter()
            for domain in self.domains:
                domain.add(1e6 * (BUSY_W if self.busy else IDLE_W) * (now - last))
            last = now


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return tmp_path / "powercap"


@pytest.fixture
def machine(tree: Path) -> Iterator[Machine]:
    """One package whose counter begins again about every second when idle, and what is in it."""
    package = Domain(tree, "0", "package-0", start=9_900_000, round=10_000_000)
    made = Machine(package)
    Domain(tree, "0:0", "core", start=10**9)
    Domain(tree, "1", "psys", start=10**9)
    (tree / "intel-rapl").mkdir()
    yield made
    made.ends.set()
    made.thread.join()


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_state, "IDLE_WINDOW_S", 0.02)
    monkeypatch.setattr(energy, "IDLE_S", 0.3)
    monkeypatch.setattr(energy, "LEAST_S", 1.0)


def images(count: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (3, 40, 60)
    return [torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)] * count


def measure(detector, root: Path):
    found = measure_latency(detector, [Energy(root)], images(), QUICK)
    return {m.metric: m for m in found if m.metric != "mode_setup_seconds"}


def test_energy_per_image_gross_and_net_of_the_idle_draw(
    detector, tree: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
):
    """Idle 10 W and busy 30 W, over rounds of the counter."""
    detector.delay = 0.004
    inner, rest = detector.postprocess, energy.rest

    def postprocess(outputs, inputs):
        machine.busy = True
        return inner(outputs, inputs)

    def at_rest(counters, seconds):
        machine.busy = False
        return rest(counters, seconds)

    monkeypatch.setattr(detector, "postprocess", postprocess)
    monkeypatch.setattr(energy, "rest", at_rest)
    found = measure(detector, tree)
    gross, net = found["energy_per_image"], found["net_energy_per_image"]
    about = gross.conditions
    assert about["counters"] == "package-0"
    assert about["idle_watts"] == pytest.approx(IDLE_W, rel=0.1)
    assert about["counter_step_ms"] >= 1e3 * TICK_S
    assert about["energy_seconds"] >= 1
    seconds = about["energy_seconds"] / gross.count
    assert gross.value == pytest.approx(1e3 * BUSY_W * seconds, rel=0.1)
    assert net.value == pytest.approx(1e3 * (BUSY_W - IDLE_W) * seconds, rel=0.15)
    assert len(gross.samples) == len(net.samples) == energy.PARTS
    assert min(gross.samples) > 0
    assert about["batch_size"] == 1
    assert "clock" not in about
    assert 1e-3 * gross.value * gross.count > 20, "more joules than the counter has in a round"


def test_packages_and_memory_are_counted_each_once(tree: Path):
    for number, name in [("0", "package-0"), ("0:0", "core"), ("0:1", "dram"), ("1", "package-1")]:
        Domain(tree, number, name)
    (tree / "intel-rapl-mmio:0").mkdir()
    (tree / "intel-rapl-mmio:0" / "name").write_text("package-0\n")
    assert [c.name for c in rapl_counters(tree)] == ["package-0", "dram", "package-1"]


def test_a_counter_that_begins_again_goes_on(tree: Path):
    domain = Domain(tree, "0", "package-0", start=900, round=1000)
    counter = RaplCounter(domain.folder)
    found = []
    for _ in range(4):
        domain.add(300)
        found.append(round(1e6 * counter.joules()))
    assert found == [300, 600, 900, 1200]


def test_what_cannot_be_read_gives_no_number_but_the_reason(
    detector, tree: Path, monkeypatch: pytest.MonkeyPatch
):
    def why() -> str:
        found = measure(detector, tree)
        assert list(found) == ["energy_per_image"]
        number = found["energy_per_image"]
        assert math.isnan(number.value)
        [reason] = number.warnings
        assert (reason.code, reason.level) == ("no_energy_counter", "invalid")
        return reason.params["why"]

    assert why() == f"this system shows no RAPL counters in {tree}"
    Domain(tree, "1", "psys")
    assert why() == f"{tree} has no package or memory"
    domain = Domain(tree, "0", "package-0")
    monkeypatch.setattr(energy_counters, "LONGEST_LOOK_S", 0.05)
    assert why() == "the counter of package-0 stands still"
    (domain.folder / "energy_uj").write_text("much\n")
    assert "intel-rapl:0 cannot be read (invalid literal" in why()
    (domain.folder / "energy_uj").unlink()
    assert "intel-rapl:0 cannot be read ([Errno 2]" in why()
    domain.add(0)
    read = Path.read_text

    def refuse(path: Path, *given, **named) -> str:  # root may read what nobody may
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *given, **named)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert why() == f"{domain.folder}/energy_uj is readable by root alone; chmod a+r permits it"


class Device:
    """What NVML counts of it: 200 W, in steps of 20 ms."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, watts: float = 200.0) -> None:
        self.time, self.watts = 0.0, watts
        monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", self.count)
        monkeypatch.setattr(energy_counters, "open_gpu", lambda device: NvmlGpu(self))

    def count(self, handle: object) -> int:
        assert handle is self
        return int(1e3 * self.watts * (self.time // 0.02) * 0.02) + 10**9

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def test_a_gpu_counts_by_nvml_and_the_processor_is_added(
    tree: Path, monkeypatch: pytest.MonkeyPatch
):
    gpu = Device(monkeypatch)
    [own], lacking = find_counters(CUDA, tree)
    assert own.name == "GPU"
    assert lacking == f"this system shows no RAPL counters in {tree}"
    before = own.joules()
    gpu.sleep(10)
    assert own.joules() - before == pytest.approx(2000, abs=4.1)
    assert find_step([own], lambda: gpu.time, gpu.sleep) == pytest.approx(0.02, rel=0.1)
    Domain(tree, "0", "package-0")
    both, lacking = find_counters(CUDA, tree)
    assert ([one.name for one in both], lacking) == (["GPU", "package-0"], "")
    assert [one.name for one in find_counters(CPU, tree)[0]] == ["package-0"]


def test_a_gpu_that_does_not_tell_has_no_number(tree: Path, monkeypatch: pytest.MonkeyPatch):
    Device(monkeypatch)

    def refuse(handle: object) -> int:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", refuse)
    Domain(tree, "0", "package-0")
    with pytest.raises(CounterError, match="NVML does not count the energy of this GPU"):
        find_counters(CUDA, tree)
    monkeypatch.setattr(energy_counters, "open_gpu", lambda device: None)
    with pytest.raises(CounterError, match="NVML cannot be asked"):
        find_counters(CUDA, tree)


def test_a_gpu_that_is_off_stands_still(monkeypatch: pytest.MonkeyPatch):
    gpu = Device(monkeypatch, watts=0)
    counter = GpuCounter(NvmlGpu(gpu))
    with pytest.raises(CounterError, match="the counter of GPU stands still"):
        find_step([counter], lambda: gpu.time, gpu.sleep)
