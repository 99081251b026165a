"""Warming up until times are stationary, within limits."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.latency import compare_latency
from harness.manifest.schema import Latency

FEWEST = 6  # repetitions on either side of a comparison: fewer do not bound a median
SMALLEST_DRIFT = 0.02
LONGEST = 4.0  # times as long as the warm-up took until it was first asked for
GROWTH = 1.25  # of the number of repetitions, from one question to the next


@dataclass(frozen=True)
class WarmUp:
    """How a detector was warmed up.

    Attributes:
        runs: repetitions.
        seconds: that they took.
        drift: of the last half of what was looked at against the half before it, as a ratio of
            medians; 1.0 where the two are not significantly different.
    """

    runs: int
    seconds: float
    drift: float

    @property
    def stationary(self) -> bool:
        return self.drift == 1.0

    @property
    def conditions(self) -> dict[str, Any]:
        return {
            "warmup_runs": self.runs,
            "warmup_seconds": round(self.seconds, 2),
            "warmup_stationary": self.stationary,
        }

    @property
    def warnings(self) -> tuple[str, ...]:
        if self.stationary:
            return ()
        how = f"{abs(self.drift - 1):.0%} {'slower' if self.drift > 1 else 'faster'}"
        spent = f"{self.runs} repetitions, {self.seconds:.1f} s"
        return (f"not stationary after a warm-up of {spent}: they were still getting {how}",)


def warm_up(
    repeat: Callable[[int], object],
    batches: int,
    settings: Latency,
    clock: Callable[[], float] = time.perf_counter,
) -> WarmUp:
    """Repeat until the wanted count and time are reached and the times are stationary.

    Stationary: of the last two thirds of all repetitions, those of the second half are not
    significantly different from those of the first by the test that compares latencies anywhere
    (Mann-Whitney with autocorrelation, p < 0.05, the whole interval of the ratio of medians beyond
    2 %). Both halves see the same images. It ends without that after `LONGEST` times the time that
    the wanted count and time took.

    Args:
        repeat: told which batch, less than `batches`.
        batches: how many there are; the first six are enough here, each has been met before.
    """
    cycle = min(batches, FEWEST)
    fewest = 2 * cycle * math.ceil(FEWEST / cycle)
    times: list[float] = []
    start, limit, ask_at = clock(), math.inf, max(settings.warmup_runs, fewest)
    while True:
        began = clock()
        repeat(len(times) % cycle)
        ended = clock()
        times.append(ended - began)
        if len(times) < ask_at or ended - start < settings.warmup_seconds:
            continue
        limit = min(limit, LONGEST * (ended - start))
        found = WarmUp(len(times), ended - start, drift(times, cycle))
        if found.stationary or ended - start >= limit:
            return found
        ask_at = math.ceil(GROWTH * len(times))


def drift(times: Sequence[float], cycle: int) -> float:
    """Median of the later over that of the earlier half of the last two thirds; 1.0 for none."""
    rounds = max(len(times) // 3, FEWEST)
    half = cycle * math.ceil(rounds / cycle)
    later, earlier = times[-half:], times[-2 * half : -half]
    change = compare_latency(earlier, later, SMALLEST_DRIFT)
    return change.ratio if change.outside else 1.0
