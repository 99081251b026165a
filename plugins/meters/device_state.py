"""What else a machine does, and how fast it runs, while something is timed on it."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
import pynvml
import torch

IDLE_WINDOW_S = 0.2
BUSY_CORES = 0.25
BUSY_GPU_PERCENT = 5
# clocks held down by heat or power; not those of idling or of a user's own setting
THROTTLING = {
    "software thermal": pynvml.nvmlClocksThrottleReasonSwThermalSlowdown,
    "hardware thermal": pynvml.nvmlClocksThrottleReasonHwThermalSlowdown,
    "hardware slowdown": pynvml.nvmlClocksThrottleReasonHwSlowdown,
    "power cap": pynvml.nvmlClocksThrottleReasonSwPowerCap,
    "power brake": pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown,
}


@dataclass(frozen=True)
class CpuTimes:
    """Seconds since some moment: of the cores we may use, and of this process."""

    wall: float
    busy: float
    idle: float
    own: float


def read_cpu_times() -> CpuTimes:
    """Busy and idle time summed over the cores that this process may run on."""
    allowed = _allowed_cores()
    cores = [times for i, times in enumerate(psutil.cpu_times(percpu=True)) if i in allowed]
    idle = sum(core.idle + getattr(core, "iowait", 0.0) for core in cores)
    # guest time is already part of user time
    fields = ("user", "nice", "system", "irq", "softirq", "steal")
    busy = sum(getattr(core, field, 0.0) for core in cores for field in fields)
    own = sum(os.times()[:4])
    return CpuTimes(time.perf_counter(), busy, idle, own)


def other_cores(before: CpuTimes, after: CpuTimes) -> float | None:
    """How many cores others kept busy in between; None where the system does not tell."""
    wall, busy = after.wall - before.wall, after.busy - before.busy
    if wall <= 0 or busy + after.idle - before.idle <= 0:
        return None
    return max(0.0, (busy - (after.own - before.own)) / wall)


def cpu_conditions() -> dict[str, Any]:
    """Load and clock of the processor, before anything of ours runs."""
    before = read_cpu_times()
    time.sleep(IDLE_WINDOW_S)
    busy = other_cores(before, read_cpu_times())
    return {
        "load_average": _load_average(),
        "other_cores_before": None if busy is None else round(busy, 2),
        "cpu_clock_mhz": _cpu_clock(),
    }


class Watch:
    """Watches a machine over a block of work; fill `conditions` and `warnings` when it ends."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.conditions: dict[str, Any] = cpu_conditions()
        self.warnings: list[str] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        before = read_cpu_times()
        self._observe_gpu("before")
        yield
        self._observe_gpu("after")
        self._observe_cpu(other_cores(before, read_cpu_times()))

    def _observe_cpu(self, busy: float | None) -> None:
        self.conditions["other_cores"] = None if busy is None else round(busy, 2)
        at_start = self.conditions["other_cores_before"]
        worst = max((value for value in (busy, at_start) if value is not None), default=None)
        if worst is None:
            self.warnings.append("unknown whether other work used the CPU")
        elif worst > BUSY_CORES:
            cores = len(_allowed_cores())
            self.warnings.append(f"other work used {worst:.1f} of {cores} CPU cores")

    def _observe_gpu(self, moment: str) -> None:
        if self.device.type != "cuda":
            return
        state = read_gpu(self.device)
        if state is None:
            self.conditions["gpu"] = None
            if moment == "after":
                self.warnings.append("the GPU's clocks and other work are unknown (no NVML)")
            return
        self.conditions |= {f"gpu_{key}_{moment}": value for key, value in vars(state).items()}
        self.warnings += [w for w in gpu_warnings(state, moment) if w not in self.warnings]


@dataclass(frozen=True)
class GpuState:
    """NVML's view of a GPU; None where this GPU does not tell."""

    sm_clock_mhz: int | None
    memory_clock_mhz: int | None
    temperature_c: int | None
    utilization_percent: int | None
    other_processes: int | None
    throttling: tuple[str, ...] | None


def gpu_warnings(state: GpuState, moment: str) -> list[str]:
    """What makes a time that was taken in this state doubtful."""
    found = [f"the GPU was throttled: {reason}" for reason in state.throttling or ()]
    if state.other_processes:
        found.append(f"{state.other_processes} other processes were on the GPU")
    # afterwards the load is our own
    if moment == "before" and (state.utilization_percent or 0) > BUSY_GPU_PERCENT:
        found.append(f"the GPU was {state.utilization_percent} % busy before the measurement")
    return found


def read_gpu(device: torch.device) -> GpuState | None:
    """State of a CUDA device, None where NVML cannot be asked."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        return _read_handle(_handle(device))
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


def _handle(device: torch.device) -> Any:
    """NVML numbers all GPUs, torch only the visible ones, so it goes by UUID."""
    index = device.index if device.index is not None else torch.cuda.current_device()
    uuid = str(torch.cuda.get_device_properties(index).uuid)
    return pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid[:3] in ("GPU", "MIG") else f"GPU-{uuid}")


def _read_handle(handle: Any) -> GpuState:
    reasons = _ask(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
    processes = _ask(pynvml.nvmlDeviceGetComputeRunningProcesses, handle)
    use = _ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
    throttling = None
    if reasons is not None:
        throttling = tuple(name for name, bit in THROTTLING.items() if reasons & bit)
    return GpuState(
        sm_clock_mhz=_ask(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM),
        memory_clock_mhz=_ask(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_MEM),
        temperature_c=_ask(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
        utilization_percent=None if use is None else use.gpu,
        # in a container the ids are the host's: one of them is ours all the same
        other_processes=None if processes is None else max(0, len(processes) - 1),
        throttling=throttling,
    )


def _ask(query: Callable[..., Any], *arguments: Any) -> Any:
    """An answer of NVML, None where the GPU does not support the question."""
    try:
        return query(*arguments)
    except pynvml.NVMLError:
        return None


def _allowed_cores() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _load_average() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def _cpu_clock() -> float | None:
    try:
        clock = psutil.cpu_freq()
    except (OSError, NotImplementedError, RuntimeError):
        return None
    return round(clock.current) if clock else None
