"""Whether a GPU computes or waits to be told what to compute."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd import DeviceType  # type: ignore[attr-defined]
from torch.profiler import ProfilerActivity, profile

PASSES = 3
NO_KERNELS = ("Memcpy", "Memset")


@dataclass(frozen=True)
class DeviceWork:
    """What one batch makes a GPU do.

    Attributes:
        kernels: launched or replayed, without copies and fills.
        busy_ms: in which a kernel, copy or fill was at work.
    """

    kernels: float
    busy_ms: float

    def conditions(self, batch_ms: float, batch_size: int) -> dict[str, Any]:
        """As recorded, of a batch that takes `batch_ms` when nobody looks.

        The profiler slows launching down, not kernels: so the share of idle time comes from the
        kernels' own time and the time of the whole that was measured without it.
        """
        return {
            "kernels_per_image": round(self.kernels / batch_size, 1),
            "kernels_per_second": round(1e3 * self.kernels / batch_ms),
            "device_idle_share": round(max(0.0, 1 - self.busy_ms / batch_ms), 3),
        }


def profile_device(step: Callable[[], object], device: torch.device) -> DeviceWork | None:
    """Run a step a few times under the profiler; None on a CPU, or if no kernel was seen.

    No kernel is seen where the user has no right to read the GPU's counters.
    """
    if device.type != "cuda":
        return None
    torch.cuda.synchronize(device)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        for _ in range(PASSES):
            step()
        torch.cuda.synchronize(device)
    return summarize(profiler.events(), PASSES)


def summarize(events: Iterable[Any], passes: int) -> DeviceWork | None:
    """Of a profiler's events those that occupied the device, per pass."""
    work = [
        event
        for event in events
        if event.device_type == DeviceType.CUDA and not event.is_user_annotation
    ]
    kernels = sum(not event.name.startswith(NO_KERNELS) for event in work)
    if not kernels:
        return None
    spans = ((event.time_range.start, event.time_range.end) for event in work)
    return DeviceWork(kernels / passes, covered(spans) / 1e3 / passes)


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals: kernels of several streams overlap."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total
