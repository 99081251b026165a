"""From a profiler's events to how much of a GPU's time was used."""

from types import SimpleNamespace

import pytest
import torch
from torch.autograd import DeviceType

from harness_plugins.meters.launches import DeviceWork, covered, profile_device, summarize


def event(name, start, end, device=DeviceType.CUDA, annotation=False):
    span = SimpleNamespace(start=start, end=end)
    return SimpleNamespace(
        name=name, time_range=span, device_type=device, is_user_annotation=annotation
    )


def test_kernels_of_two_streams_overlap():
    assert covered([(0, 10), (5, 12), (6, 7), (20, 21)]) == 13
    assert covered([]) == 0


def test_kernels_are_counted_and_copies_keep_a_device_busy_too():
    events = [
        event("implicit_convolve_sgemm", 0, 1000),
        event("gatherTopK", 3000, 3500),
        event("Memcpy HtoD (Pinned -> Device)", 4000, 4500),
        event("Memset (Device)", 5000, 5500),
        event("aten::conv2d", 0, 9000, DeviceType.CPU),
        event("ProfilerStep#1", 0, 9000, annotation=True),
    ]
    assert summarize(events, 1) == DeviceWork(kernels=2, busy_ms=2.5)
    assert summarize(events, 2) == DeviceWork(kernels=1, busy_ms=1.25)
    assert summarize(events[2:], 1) is None, "no kernel seen: nothing is known"


def test_rates_and_idle_share_are_of_the_time_without_the_profiler():
    found = DeviceWork(kernels=700, busy_ms=1.5).conditions(batch_ms=15.0, batch_size=2)
    assert found == {
        "kernels_per_image": 350.0,
        "kernels_per_second": 46667,
        "device_idle_share": 0.9,
    }
    busy = DeviceWork(kernels=7, busy_ms=20).conditions(batch_ms=15.0, batch_size=1)
    assert busy["device_idle_share"] == 0.0


def test_a_cpu_is_not_profiled():
    def never():
        raise AssertionError

    assert profile_device(never, torch.device("cpu")) is None


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_real_kernels_are_seen():
    values = torch.ones(1000, device="cuda")
    work = profile_device(lambda: values.add(1).mul(2), torch.device("cuda", 0))
    assert work is not None
    assert work.kernels == 2
    assert work.busy_ms > 0
