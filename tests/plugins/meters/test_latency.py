"""Structure and invariants of latency numbers; never how fast anything is."""

import gc
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.manifest.schema import Latency
from harness.modes.build import build_runner
from harness.plugin.metrics import Finding
from harness.stages import latency as stage_module
from harness.stages.latency import measure_latency
from harness_plugins.meters import device_state, harness_meters
from harness_plugins.meters import latency as latency_module
from harness_plugins.meters.latency import LatencyMeter, make_batches, take_samples
from harness_plugins.meters.latency_statistics import sample_warnings, statistics
from harness_plugins.meters.launches import DeviceWork
from harness_plugins.meters.metrics import LATENCY_KINDS
from harness_plugins.meters.warm_up import WarmUp

QUICK = Latency(images=4, runs=7, warmup_runs=2, warmup_seconds=0)


@pytest.fixture(autouse=True)
def _short_look_at_the_machine(monkeypatch):
    monkeypatch.setattr(device_state, "IDLE_WINDOW_S", 0.02)


@pytest.fixture
def runner(detector):
    return build_runner(detector.eval(), "eager")


def images(count, sizes=((40, 60), (30, 30))):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(0, 256, (3, *sizes[i % len(sizes)]), dtype=torch.uint8, generator=generator)
        for i in range(count)
    ]


def measure(detector, settings=QUICK, count=4, on_progress=None, **choices):
    meters, given = [LatencyMeter()], images(count)
    found = measure_latency(detector, meters, given, settings, on_progress, **choices)
    return {m.metric: m for m in found}


def test_three_kinds_with_percentiles_samples_and_throughput(detector):
    found = measure(detector)
    declared = next(m for m in harness_meters() if m.name == "latency")
    assert declared.load() is LatencyMeter
    assert set(found) == {*(spec.name for spec in declared.specs()), "mode_setup_seconds"}
    for kind in LATENCY_KINDS:
        times = found[f"latency_{kind}_p50"].samples
        assert len(times) == found[f"latency_{kind}_p50"].count == 7
        assert min(times) > 0
        for statistic in ("p90", "p99", "spread"):
            assert found[f"latency_{kind}_{statistic}"].samples == ()
        assert found[f"latency_{kind}_p50"].value == pytest.approx(np.median(times))
        assert found[f"latency_{kind}_p99"].value >= found[f"latency_{kind}_p90"].value
    total = math.fsum(found["latency_end_to_end_p50"].samples)
    assert found["throughput"].value == pytest.approx(7 * 1e3 / total)


def test_each_kind_holds_what_its_label_says(detector):
    detector.delay = 0.05
    measured = measure(detector)
    found = {kind: min(measured[f"latency_{kind}_p50"].samples) for kind in LATENCY_KINDS}
    assert found["postprocessed"] >= 50
    assert found["end_to_end"] >= 50
    # the delay is in postprocessing alone
    assert found["network"] < found["postprocessed"]


def test_conditions_say_what_a_number_depends_on(detector):
    conditions = measure(detector, count=2)["latency_network_p50"].conditions
    assert conditions["device_type"] == "cpu"
    assert conditions["ops"] in ("compiled-cpu", "reference")
    assert conditions["device"]
    assert conditions["clock"] == "perf_counter"
    assert conditions["mode"] == "eager"
    assert conditions["precision"] == "float32"
    assert conditions["batch_size"] == 1
    assert conditions["images"] == 2
    assert conditions["image_sizes"] == ["30x30", "40x60"]
    assert conditions["input_sizes"] == ["32x32"]
    assert conditions["detections"] == 2
    assert conditions["proposals_entering_nms"] is None
    assert conditions["warmup_runs"] >= 12
    assert conditions["warmup_seconds"] >= 0
    assert conditions["warmup_stationary"] in (True, False)
    assert "kernels_per_image" not in conditions, "of a GPU alone"
    assert conditions["threads"] == torch.get_num_threads()
    assert {"load_average", "other_cores", "other_cores_before", "cpu_clock_mhz"} <= set(conditions)


def test_batches_cycle_through_all_images(detector, runner):
    given = images(5)
    batches = make_batches(runner, given, 2)
    position = {id(image): i for i, image in enumerate(given)}
    assert [[position[id(i)] for i in b.images] for b in batches] == [[0, 1], [2, 3], [4, 0]]
    assert batches[0].inputs.pixels.shape == (2, 3, 32, 32)
    found = measure(detector, replace_settings(batch_size=4))
    assert found["throughput"].conditions["batch_size"] == 4


def replace_settings(**changes):
    return QUICK.model_copy(update=changes)


def test_memory_and_set_up_are_measured_and_no_times(detector):
    found = measure(detector)
    memory, seconds = found["latency_peak_memory"], found["mode_setup_seconds"]
    assert memory.conditions["memory"] == "resident, sampled"
    assert 1 < memory.value < 1e6
    assert seconds.conditions["mode"] == "eager"
    assert seconds.value > 0
    assert memory.samples == seconds.samples == ()


def test_a_runner_says_how_it_ran_and_is_what_is_timed(detector, monkeypatch):
    """Not the detector: a mode may have made something else of it."""
    called = []

    def build(given, mode, precision, calibration):
        assert (given, mode, precision) == (detector, "compiled", "bfloat16")
        assert calibration is None
        runner = build_runner(detector, "eager")
        return replace(
            runner,
            mode="compiled",
            precision="bfloat16",
            network=lambda inputs: called.append("network") or runner.network(inputs),
            forward=lambda inputs: called.append("forward") or runner.forward(inputs),
            detect_pixels=lambda inputs: called.append("pixels") or runner.detect_pixels(inputs),
            about=lambda: {"graph_breaks": 3},
        )

    monkeypatch.setattr(stage_module, "build_runner", build)
    found = measure(detector, mode="compiled-bfloat16")
    for number in found.values():
        assert number.conditions["mode"] == "compiled"
        assert number.conditions["precision"] == "bfloat16"
        assert number.conditions["graph_breaks"] == 3
    assert called[:3] == ["network", "forward", "pixels"]  # set up, before any clock runs
    once_each_batch, runs = 4, QUICK.runs
    warm_ups = found["throughput"].conditions["warmup_runs"]
    assert {called.count(name) for name in set(called)} == {1 + once_each_batch + warm_ups + runs}


def test_no_images_is_an_error(detector):
    with pytest.raises(ValueError, match="no images"):
        measure(detector, count=0)


def test_kinds_take_turns_within_each_repetition(runner, monkeypatch):
    order = []
    named = {kind: (lambda kind=kind: order.append(kind)) for kind in LATENCY_KINDS}
    monkeypatch.setattr(latency_module, "steps", lambda *_: named)
    take_samples(runner, make_batches(runner, images(1), 1), 3)
    first, second, third = LATENCY_KINDS
    assert order == [first, second, third, second, third, first, third, first, second]


@pytest.mark.slow
def test_threads_collector_and_mode_are_put_back(detector):
    before = torch.get_num_threads()
    detector.train()
    found = measure(detector, replace_settings(threads=2))
    assert found["throughput"].conditions["threads"] == 2
    assert torch.get_num_threads() == before
    assert gc.isenabled()
    assert detector.training


def test_progress_counts_the_repetitions(detector):
    seen = []
    measure(detector, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, 7) for i in range(7)]


def test_statistics_leave_nothing_out():
    times = [1.0] * 99 + [1000.0]
    found = statistics(times)
    assert found["p50"] == 1.0
    assert found["p99"] == pytest.approx(np.percentile(times, 99))
    assert found["p99"] > 10
    assert statistics([1.0, 2.0, 3.0, 4.0, 5.0])["spread"] == 2.0


def test_few_samples_and_a_far_tail_are_warned_of():
    assert sample_warnings([1.0] * 49) == (Finding("rough_percentiles", params={"count": 49}),)
    assert sample_warnings([1.0] * 50) == ()
    tail = Finding("far_tail", params={"ratio": 4.0})
    assert sample_warnings([1.0] * 90 + [4.0] * 10) == (tail,)


def test_other_work_is_warned_of(detector, monkeypatch):
    monkeypatch.setattr(device_state, "other_cores", lambda *_: 0.9)
    warnings = measure(detector)["latency_network_p50"].warnings
    [busy] = [warning for warning in warnings if warning.code == "busy_cpu"]
    assert (busy.level, busy.params["cores"]) == ("doubtful", 0.9)
    monkeypatch.setattr(device_state, "other_cores", lambda *_: None)
    warnings = measure(detector)["latency_network_p50"].warnings
    assert Finding("cpu_use_unknown", "remark") in warnings
    monkeypatch.setattr(device_state, "other_cores", lambda *_: 0.0)
    warnings = measure(detector)["latency_network_p50"].warnings
    assert not {"busy_cpu", "cpu_use_unknown"} & {warning.code for warning in warnings}


def test_children_that_still_work_are_told_of_and_are_not_others(detector, monkeypatch):
    monkeypatch.setattr(device_state, "other_cores", lambda *_: 0.0)
    monkeypatch.setattr(device_state, "child_cores", lambda *_: 0.8)
    found = measure(detector)["latency_network_p50"]
    assert Finding("busy_children", params={"cores": 0.8}) in found.warnings
    assert found.conditions["child_cores"] == 0.8


def test_a_drift_that_does_not_end_is_a_doubt(detector, monkeypatch):
    monkeypatch.setattr(latency_module, "warm_up", lambda *_: WarmUp(50, 4.0, 0.9))
    found = measure(detector)["latency_network_p50"]
    [warning] = [one for one in found.warnings if one.code == "not_stationary"]
    told = {"runs": 50, "seconds": 4.0, "way": "faster", "change": pytest.approx(0.1)}
    assert warning.params == told
    assert found.conditions["warmup_stationary"] is False


def test_a_gpus_work_is_set_against_the_time_without_the_profiler(detector, monkeypatch):
    monkeypatch.setattr(latency_module, "profile_device", lambda *_: DeviceWork(700.0, 0.001))
    found = measure(detector)
    median = found["latency_end_to_end_p50"].value
    conditions = found["latency_network_p50"].conditions
    assert conditions["kernels_per_image"] == 700
    assert conditions["kernels_per_second"] == pytest.approx(7e5 / median, abs=1)
    assert conditions["device_idle_share"] == pytest.approx(1 - 0.001 / median, abs=1e-3)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_events_are_the_clock(detector):
    found = measure(detector.cuda())
    conditions = found["latency_network_p50"].conditions
    assert conditions["clock"] == "cuda_event"
    assert conditions["device"] == torch.cuda.get_device_name()
    assert "gpu_sm_clock_mhz_before" in conditions or conditions["gpu"] is None
    assert all(time > 0 for time in found["latency_end_to_end_p50"].samples)
    assert conditions["kernels_per_image"] > 5
    assert 0 <= conditions["device_idle_share"] <= 1
    assert not any("busy" in warning.code for warning in found["throughput"].warnings)
