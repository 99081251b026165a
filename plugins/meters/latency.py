"""Latency: how long a detector takes for a batch of real images.

Three times, each with its label: the network alone; network and postprocessing; and end to end,
from decoded uint8 images in the host's memory to detections in the host's memory. They are taken
in turn within each repetition, so that a drift of the machine meets all three alike.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from harness.data.batch import Inputs
from harness.manifest.schema import Latency
from harness.model.detector import Detector
from harness.modes.runner import Runner
from harness.records.environment import cpu_model
from harness.records.measurement import Measurement
from harness.stages.collecting import collector_paused
from harness.stages.context import synchronize
from harness.stages.inputs import LatencyInput, OnProgress
from harness_plugins.meters.device_state import Watch
from harness_plugins.meters.latency_statistics import Samples, measurements
from harness_plugins.meters.launches import profile_device
from harness_plugins.meters.metrics import LATENCY_KINDS
from harness_plugins.meters.roles import proposal_conditions
from harness_plugins.meters.warm_up import warm_up

PROGRESS_STEPS = 10


@dataclass(frozen=True)
class Batch:
    """Images of one repetition, and the same images as the network takes them."""

    images: Sequence[Tensor]
    inputs: Inputs


class LatencyMeter:
    """Meter of the stage `latency`: ms per batch in three kinds, images/s end to end, and memory.

    `latency_<kind>_p50`, `_p90`, `_p99` and `_spread` (interquartile range) for the kinds
    network, postprocessed and end_to_end; the raw samples stand on the p50 record.
    """

    def __call__(self, detector: Detector, given: LatencyInput) -> list[Measurement]:
        runner, settings = given.runner, given.settings
        with torch.inference_mode():
            batches = make_batches(runner, given.images, settings.batch_size)
            conditions = describe(runner, batches, settings)
            # before anything is timed: once the profiler has run in a process, launching may cost
            # more in it, and so it costs every detector the same
            work = profile_device(steps(runner, batches[0])["end_to_end"], runner.device)
            with collector_paused(collect_first=True):
                watch = Watch(runner.device)
                warmed = warm_up(
                    lambda number: time_once(runner, batches[number]), len(batches), settings
                )
                start_peak(runner)
                with watch.watching():
                    samples = take_samples(runner, batches, settings.runs, given.on_progress)
        conditions |= {**warmed.conditions, **watch.conditions}
        if work is not None:
            median = float(np.median(samples["end_to_end"]))
            conditions |= work.conditions(median, settings.batch_size)
        warnings = (*watch.warnings, *warmed.warnings)
        times = measurements(samples, settings.batch_size, conditions, warnings)
        return [*times, peak_memory(runner, conditions)]


def make_batches(runner: Runner, images: Sequence[Tensor], size: int) -> list[Batch]:
    """Every image once, in order; the last batch is filled up from the first images."""
    count = math.ceil(len(images) / size)
    chosen = [[images[(i * size + j) % len(images)] for j in range(size)] for i in range(count)]
    return [Batch(batch, runner.prepare(batch)) for batch in chosen]


def steps(runner: Runner, batch: Batch) -> dict[str, Callable[[], object]]:
    """What is timed, by kind."""
    return {
        "network": lambda: runner.network(batch.inputs),
        "postprocessed": lambda: runner.forward(batch.inputs),
        "end_to_end": lambda: runner.detect(batch.images).to("cpu"),
    }


def take_samples(
    runner: Runner,
    batches: Sequence[Batch],
    runs: int,
    on_progress: OnProgress | None = None,
) -> Samples:
    """`runs` times of every kind in milliseconds, in the order in which they were taken."""
    samples: Samples = {kind: [] for kind in LATENCY_KINDS}
    for run in range(runs):
        # another one first each time: none always meets the caches that another one left
        times = time_once(runner, batches[run % len(batches)], run % len(LATENCY_KINDS))
        for kind, milliseconds in times.items():
            samples[kind].append(milliseconds)
        # drawing a bar is work on the same cores
        if on_progress is not None and (run + 1) % max(1, runs // PROGRESS_STEPS) == 0:
            on_progress(run + 1, runs)
    return samples


def time_once(runner: Runner, batch: Batch, turn: int = 0) -> dict[str, float]:
    """Milliseconds of each kind, the `turn`-th kind first."""
    timer = cuda_time if runner.device.type == "cuda" else cpu_time
    kinds = steps(runner, batch)
    names = tuple(LATENCY_KINDS)
    order = names[turn:] + names[:turn]
    return {kind: timer(kinds[kind], runner.device) for kind in order}


def start_peak(runner: Runner) -> None:
    """From here on the peak of the GPU's memory is looked for."""
    if runner.device.type == "cuda":
        if runner.mode == "cuda_graph":
            torch.cuda.empty_cache()  # then what is reserved is in use
        torch.cuda.reset_peak_memory_stats(runner.device)


def peak_memory(runner: Runner, conditions: Mapping[str, Any]) -> Measurement:
    """CUDA: the allocator's peak since `start_peak`. CPU: what is resident now.

    Whatever else the process holds is in it, such as the eager detector beside a compiled copy. A
    CUDA graph allocates nothing when it runs: its memory is what its pools hold, those of all three
    things that are timed.
    """
    if runner.mode == "cuda_graph":
        seen, of = torch.cuda.max_memory_reserved(runner.device), "reserved on the GPU"
    elif runner.device.type == "cuda":
        seen, of = torch.cuda.max_memory_allocated(runner.device), "allocated on the GPU"
    else:
        seen, of = psutil.Process().memory_info().rss, "resident, sampled"
    memory = {**conditions, "memory": of}
    return Measurement("latency_peak_memory", seen / 2**20, conditions=memory)


def cpu_time(step: Callable[[], object], device: torch.device) -> float:
    """Milliseconds on the wall clock, everything queued before and in between included."""
    synchronize(device)
    start = time.perf_counter()
    step()
    synchronize(device)
    return (time.perf_counter() - start) * 1e3


def cuda_time(step: Callable[[], object], device: torch.device) -> float:
    """Milliseconds between two CUDA events, the first recorded on an idle device."""
    with torch.cuda.device(device):
        make: Any = torch.cuda.Event  # untyped
        start, end = (make(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        step()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end))


def describe(runner: Runner, batches: Sequence[Batch], settings: Latency) -> dict[str, Any]:
    """What the times depend on; runs every batch to see what enters and leaves NMS.

    So each shape of input has been met before anything is timed.
    """
    proposals, detections = [], []
    for batch in batches:  # one at a time: a mode may write all its outputs to one place
        proposals.append(proposal_conditions(runner.network(batch.inputs)))
        detections += runner.forward(batch.inputs).counts.tolist()
        runner.detect(batch.images)
    device = runner.device
    return {
        "device": device_name(device),
        "clock": "cuda_event" if device.type == "cuda" else "perf_counter",
        "threads": torch.get_num_threads(),
        "batch_size": settings.batch_size,
        "images": len({id(image) for batch in batches for image in batch.images}),
        "image_sizes": _sizes(image for batch in batches for image in batch.images),
        "input_sizes": _sizes(batch.inputs.pixels for batch in batches),
        "proposals_entering_nms": _mean(p["proposals_valid"] for p in proposals if p),
        "detections": _mean(detections),
    }


def device_name(device: torch.device) -> str:
    """Model of the GPU or of the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return cpu_model()


def _sizes(tensors: Any) -> list[str]:
    return sorted({f"{t.shape[-2]}x{t.shape[-1]}" for t in tensors})


def _mean(values: Any) -> float | None:
    found = list(values)
    return float(np.mean(found)) if found else None
