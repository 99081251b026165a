"""What NVML reports of a GPU: clocks, throttling, and what other processes do on it."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pynvml
import torch

BUSY_GPU_PERCENT = 5
WINDOW_S = 1.0  # NVML's utilisation looks back so far, on no GPU further
SETTLE_S = 3.0  # after this long without work of ours, what the GPU does is others'
LOOK_EVERY_S = 0.1
# clocks held down by heat or power; not those of idling or of a user's own setting
THROTTLING = {
    "software thermal": pynvml.nvmlClocksThrottleReasonSwThermalSlowdown,
    "hardware thermal": pynvml.nvmlClocksThrottleReasonHwThermalSlowdown,
    "hardware slowdown": pynvml.nvmlClocksThrottleReasonHwSlowdown,
    "power cap": pynvml.nvmlClocksThrottleReasonSwPowerCap,
    "power brake": pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown,
}


@dataclass(frozen=True)
class GpuState:
    """NVML's view of a GPU; None where this GPU does not tell."""

    sm_clock_mhz: int | None
    memory_clock_mhz: int | None
    temperature_c: int | None
    throttling: tuple[str, ...] | None


@dataclass(frozen=True)
class ProcessUse:
    """How busy one process kept the GPU over one of NVML's sample periods.

    Attributes:
        pid: as NVML numbers processes; in a container that may be the host's number.
        at: end of the period, in seconds since the epoch.
        percent: of the period's time with a kernel of the process on the GPU.
    """

    pid: int
    at: float
    percent: int


class Gpu(Protocol):
    """What is asked of one GPU; None stands for "this GPU does not tell"."""

    def state(self) -> GpuState: ...

    def pids(self) -> Sequence[int] | None:
        """Of the processes that compute on it, ours among them."""
        ...

    def utilization(self) -> int | None:
        """Percent of the last second or so with a kernel of any process, ours too."""
        ...

    def process_uses(self, since: float) -> Sequence[ProcessUse] | None:
        """Samples that are younger than `since`, in seconds since the epoch."""
        ...

    def energy(self) -> float | None:
        """Joules since the driver was loaded, of all that is on the board."""
        ...


def others_percent(
    gpu: Gpu,
    since: float | None = None,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> float | None:
    """How busy other processes keep a GPU, in percent; None where that is not to be known.

    Where NVML reports each process's use and which process is ours, it is the others' use, since
    `since` or over NVML's window. Elsewhere all of the use is known only: without `since`, our own
    work being done, we wait until that has left the window; what remains is others'.
    """
    pids = gpu.pids()
    own = None if pids is None else own_pid(pids)
    if own is not None:
        uses = gpu.process_uses(now() - WINDOW_S if since is None else since)
        if uses is not None:
            return _sum_of_means([use for use in uses if use.pid != own])
    return _settled_percent(gpu, now, sleep) if since is None else None


def own_pid(pids: Sequence[int]) -> int | None:
    """Which of NVML's processes we are; None where that is open.

    In a container NVML may give the host's numbers: of a single process it is ours all the same.
    """
    if os.getpid() in pids:
        return os.getpid()
    return pids[0] if len(pids) == 1 else None


def _sum_of_means(uses: Sequence[ProcessUse]) -> float:
    found: dict[int, list[int]] = {}
    for use in uses:
        found.setdefault(use.pid, []).append(use.percent)
    return min(100.0, sum(sum(percents) / len(percents) for percents in found.values()))


def _settled_percent(
    gpu: Gpu, now: Callable[[], float], sleep: Callable[[float], None]
) -> float | None:
    until = now() + SETTLE_S
    while True:
        percent = gpu.utilization()
        if percent is None or percent <= BUSY_GPU_PERCENT or now() >= until:
            return percent
        sleep(LOOK_EVERY_S)


class NvmlGpu:
    """A GPU by its NVML handle."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle

    def state(self) -> GpuState:
        reasons = _ask(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, self.handle)
        throttling = None
        if reasons is not None:
            throttling = tuple(name for name, bit in THROTTLING.items() if reasons & bit)
        return GpuState(
            sm_clock_mhz=_ask(pynvml.nvmlDeviceGetClockInfo, self.handle, pynvml.NVML_CLOCK_SM),
            memory_clock_mhz=_ask(
                pynvml.nvmlDeviceGetClockInfo, self.handle, pynvml.NVML_CLOCK_MEM
            ),
            temperature_c=_ask(
                pynvml.nvmlDeviceGetTemperature, self.handle, pynvml.NVML_TEMPERATURE_GPU
            ),
            throttling=throttling,
        )

    def pids(self) -> Sequence[int] | None:
        processes = _ask(pynvml.nvmlDeviceGetComputeRunningProcesses, self.handle)
        return None if processes is None else [process.pid for process in processes]

    def utilization(self) -> int | None:
        rates = _ask(pynvml.nvmlDeviceGetUtilizationRates, self.handle)
        return None if rates is None else int(rates.gpu)

    def process_uses(self, since: float) -> Sequence[ProcessUse] | None:
        try:
            samples = pynvml.nvmlDeviceGetProcessUtilization(self.handle, int(since * 1e6))
        except pynvml.NVMLError_NotFound:  # the GPU tells, and nobody used it
            return []
        except pynvml.NVMLError:
            return None
        uses = [ProcessUse(s.pid, s.timeStamp / 1e6, s.smUtil) for s in samples]
        # drivers fill up their buffer with entries of no process, old or out of range
        return [u for u in uses if u.pid and u.at > since and 0 <= u.percent <= 100]

    def energy(self) -> float | None:
        millijoules = _ask(pynvml.nvmlDeviceGetTotalEnergyConsumption, self.handle)
        return None if millijoules is None else millijoules / 1e3


def open_gpu(device: torch.device) -> Gpu | None:
    """NVML's view of a CUDA device, None where NVML cannot be asked.

    NVML stays open as long as the process: opening takes longer than asking.
    """
    try:
        pynvml.nvmlInit()
        return NvmlGpu(_handle(device))
    except pynvml.NVMLError:
        return None


def _handle(device: torch.device) -> Any:
    """NVML numbers all GPUs, torch only the visible ones, so it goes by UUID."""
    index = device.index if device.index is not None else torch.cuda.current_device()
    uuid = str(torch.cuda.get_device_properties(index).uuid)
    return pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid[:3] in ("GPU", "MIG") else f"GPU-{uuid}")


def _ask(query: Callable[..., Any], *arguments: Any) -> Any:
    """An answer of NVML, None where the GPU does not support the question."""
    try:
        return query(*arguments)
    except pynvml.NVMLError:
        return None
