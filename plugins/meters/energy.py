"""Energy per image, by the counters of the machine."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.model.detector import Detector
from harness.plugin.metrics import Finding
from harness.records.measurement import Measurement
from harness.stages.collecting import collector_paused
from harness.stages.inputs import LatencyInput
from harness_plugins.meters.device_state import Watch
from harness_plugins.meters.energy_counters import (
    POWERCAP,
    Counter,
    CounterError,
    find_counters,
    find_step,
)
from harness_plugins.meters.latency import Batch, describe, make_batches
from harness_plugins.meters.warm_up import warm_up

IDLE_S = 2.0
LEAST_S = 5.0
PARTS = 10
STEPS = 10  # of the slowest counter in each part: what a step hides is less than a tenth of it


@dataclass(frozen=True)
class Spent:
    """Energy over a stretch of time.

    Attributes:
        images: that were detected in meanwhile.
    """

    joules: float
    seconds: float
    images: int

    def per_image(self, idle_watts: float = 0.0) -> float:
        """Millijoules, less what idling would have taken."""
        return 1e3 * (self.joules - idle_watts * self.seconds) / self.images


class Energy:
    """Meter of the stage `latency`: millijoules per image, end to end.

    `energy_per_image` is all that the counters count meanwhile, `net_energy_per_image` what is
    above the draw of the idle machine, measured just before. Samples are parts of one long stretch.
    Where nothing counts, the reason is recorded in place of a number.

    Args:
        root: of the powercap tree.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        self.root = root

    def __call__(self, detector: Detector, given: LatencyInput) -> list[Measurement]:
        try:
            counters, lacking = find_counters(given.runner.device, self.root)
            return measure(given, counters, lacking)
        except CounterError as error:
            why = Finding("no_energy_counter", "invalid", {"why": str(error)})
            return [Measurement("energy_per_image", math.nan, warnings=(why,))]


def measure(
    given: LatencyInput, counters: Sequence[Counter], lacking: str = ""
) -> list[Measurement]:
    """Gross and net.

    Args:
        lacking: why the processor is not among the counters.

    Raises:
        CounterError: a counter stands still, or stops to tell.
    """
    runner, settings = given.runner, given.settings
    with torch.inference_mode(), collector_paused(collect_first=True):
        batches = make_batches(runner, given.images, settings.batch_size)
        conditions = describe(runner, batches, settings)
        watch = Watch(runner.device)
        step = find_step(counters)
        idle = rest(counters, max(IDLE_S, STEPS * step))

        def work(batch: Batch) -> None:
            runner.detect(batch.images).to("cpu")

        warmed = warm_up(lambda number: work(batches[number]), len(batches), settings)
        with watch.watching():
            parts = spend(counters, work, batches, max(LEAST_S / PARTS, STEPS * step))
    del conditions["clock"]
    conditions |= {
        "counters": ", ".join(counter.name for counter in counters),
        "counter_step_ms": round(1e3 * step, 1),
        "idle_watts": round(idle, 2),
        "energy_seconds": round(sum(part.seconds for part in parts), 2),
        **({"processor_not_counted": lacking} if lacking else {}),
        **warmed.conditions,
        **watch.conditions,
    }
    warnings = (*watch.warnings, *warmed.warnings)
    return [
        _measurement("energy_per_image", parts, 0.0, conditions, warnings),
        _measurement("net_energy_per_image", parts, idle, conditions, warnings),
    ]


def rest(
    counters: Sequence[Counter], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Watts while nothing of ours runs."""
    began, before = clock(), total(counters)
    time.sleep(seconds)
    spent, ended = total(counters) - before, clock()
    return spent / (ended - began)


def spend(
    counters: Sequence[Counter],
    work: Callable[[Batch], object],
    batches: Sequence[Batch],
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Spent]:
    """`PARTS` parts of at least `seconds` each, one right behind the other."""
    found: list[Spent] = []
    number = 0
    began, before = clock(), total(counters)
    for _ in range(PARTS):
        images = 0
        while clock() - began < seconds:
            batch = batches[number % len(batches)]
            work(batch)
            images += len(batch.images)
            number += 1
        ended, after = clock(), total(counters)
        found.append(Spent(after - before, ended - began, images))
        began, before = ended, after
    return found


def total(counters: Sequence[Counter]) -> float:
    """Joules."""
    return sum(counter.joules() for counter in counters)


def _measurement(
    name: str,
    parts: Sequence[Spent],
    idle_watts: float,
    conditions: dict[str, Any],
    warnings: tuple[Finding, ...],
) -> Measurement:
    whole = Spent(
        sum(part.joules for part in parts),
        sum(part.seconds for part in parts),
        sum(part.images for part in parts),
    )
    return Measurement(
        name,
        whole.per_image(idle_watts),
        count=whole.images,
        samples=tuple(part.per_image(idle_watts) for part in parts),
        conditions=conditions,
        warnings=warnings,
    )
