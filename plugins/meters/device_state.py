"""What else a machine does, and how fast it runs, while something is timed on it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from harness.plugin.metrics import Finding
from harness.records.environment import usable_cores
from harness.stages.context import synchronize
from harness_plugins.meters.cpu_state import (
    CpuTimes,
    child_cores,
    cpu_clock,
    load_average,
    other_cores,
    read_cpu_times,
)
from harness_plugins.meters.gpu_state import BUSY_GPU_PERCENT, Gpu, open_gpu, others_percent

IDLE_WINDOW_S = 0.2
BUSY_CORES = 0.25


class Watch:
    """Watches a machine over a block of work; `conditions` and `warnings` are full when it ends.

    Made where nothing of ours runs: it looks at the idle machine first, which on a GPU may take as
    long as our last work stays in NVML's view. Only what others do is a doubt, and what is not to
    be known is a remark.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.conditions: dict[str, Any] = {}
        self.warnings: list[Finding] = []
        synchronize(device)
        self._look_at_idle_cpu()
        self.gpu: Gpu | None = None
        if device.type == "cuda":
            self.gpu = open_gpu(device)
            self._look_at_idle_gpu()

    def _look_at_idle_cpu(self) -> None:
        before = read_cpu_times()
        time.sleep(IDLE_WINDOW_S)
        self.busy_before = other_cores(before, read_cpu_times())
        self.conditions |= {
            "load_average": load_average(),
            "other_cores_before": _rounded(self.busy_before),
            "cpu_clock_mhz": cpu_clock(),
        }

    def _look_at_idle_gpu(self) -> None:
        if self.gpu is None:
            self.conditions["gpu"] = None
            self._say(Finding("gpu_unknown", "remark"))
            return
        self._judge_gpu_use(others_percent(self.gpu), "before")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Around the work."""
        before, since = read_cpu_times(), time.time()
        self._observe_gpu("before")
        yield
        self._observe_gpu("after")
        if self.gpu is not None:
            self._judge_gpu_use(others_percent(self.gpu, since), "meanwhile")
        self._observe_cpu(before, read_cpu_times())

    def _observe_cpu(self, before: CpuTimes, after: CpuTimes) -> None:
        busy, children = other_cores(before, after), child_cores(before, after)
        self.conditions |= {"other_cores": _rounded(busy), "child_cores": _rounded(children)}
        known = [cores for cores in (busy, self.busy_before) if cores is not None]
        if not known:
            self._say(Finding("cpu_use_unknown", "remark"))
        elif max(known) > BUSY_CORES:
            told = {"cores": round(max(known), 2), "of": len(usable_cores())}
            self._say(Finding("busy_cpu", params=told))
        if children > BUSY_CORES:
            self._say(Finding("busy_children", params={"cores": round(children, 2)}))

    def _observe_gpu(self, moment: str) -> None:
        if self.gpu is None:
            return
        state, pids = self.gpu.state(), self.gpu.pids()
        others = None if pids is None else max(0, len(pids) - 1)
        told = {**vars(state), "other_processes": others}
        self.conditions |= {f"gpu_{key}_{moment}": value for key, value in told.items()}
        for reason in state.throttling or ():
            self._say(Finding("throttled", params={"reason": reason}))

    def _judge_gpu_use(self, percent: float | None, moment: str) -> None:
        """An idle process of another user raises no doubt; only its work on the GPU does."""
        self.conditions[f"gpu_others_percent_{moment}"] = _rounded(percent)
        counts = [self.conditions.get(f"gpu_other_processes_{t}") or 0 for t in ("before", "after")]
        newcomers = counts[1] - counts[0]
        if percent is not None and percent > BUSY_GPU_PERCENT:
            self._say(Finding("busy_gpu", params={"percent": percent, "moment": moment}))
        elif percent is None and moment == "before":
            self._say(Finding("gpu_use_unknown", "remark"))
        elif percent is None and newcomers > 0:
            self._say(Finding("newcomers_on_gpu", params={"count": newcomers}))

    def _say(self, warning: Finding) -> None:
        if warning not in self.warnings:
            self.warnings.append(warning)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
