"""Warming up until times are stationary, within limits."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from harness.manifest.schema import Latency
from harness.plugin.metrics import Finding

FEWEST = 6  # images at most, and half of the repetitions that a trend is looked for in
SIGNIFICANT = 0.05
SMALLEST_DRIFT = 0.02
LONGEST = 4.0  # times as long as the warm-up took until it was first asked for
GROWTH = 1.25  # of the number of repetitions, from one question to the next
MOST_MOMENTS = 250  # that a trend is looked for in: its slope is the median over all their pairs


@dataclass(frozen=True)
class WarmUp:
    """How a detector was warmed up.

    Attributes:
        runs: repetitions.
        seconds: that they took.
        drift: by how much the times still rose or fell, as a ratio; 1.0 for no trend.
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
    def warnings(self) -> tuple[Finding, ...]:
        if self.stationary:
            return ()
        way = "slower" if self.drift > 1 else "faster"
        told = {"change": abs(self.drift - 1), "way": way}
        spent = {"runs": self.runs, "seconds": self.seconds}
        return (Finding("not_stationary", params={**told, **spent}),)


def warm_up(
    repeat: Callable[[int], object],
    batches: int,
    settings: Latency,
    clock: Callable[[], float] = time.perf_counter,
) -> WarmUp:
    """Repeat until the wanted count and time are reached and the times are stationary.

    Stationary: the latter half of the repetitions, twelve at the least, has no significant trend
    (Mann and Kendall's test, p < 0.05), or one of at most 2 % from its beginning to its end (Theil
    and Sen's slope). It ends without that after `LONGEST` times the time that the wanted count and
    time took.

    Args:
        repeat: given the batch's number, less than `batches`.
        batches: how many there are; the first six are enough here, each has been met before.
    """
    cycle = min(batches, FEWEST)
    fewest = cycle * math.ceil(2 * FEWEST / cycle)
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
    """By how much the latter half of the times rose or fell, as a ratio; 1.0 for no trend.

    Each time is taken relative to the median of its image, and images alternate every `cycle`. Of
    very many, neighbours are summed up by their median.
    """
    half = cycle * math.ceil(max(len(times) // 2, 2 * FEWEST) / cycle)
    rounds = np.asarray(times[-half:], dtype=np.float64).reshape(-1, cycle)
    relative = (rounds / np.median(rounds, axis=0)).ravel()
    if len(relative) > MOST_MOMENTS:
        neighbours = np.array_split(relative, MOST_MOMENTS)
        relative = np.asarray([np.median(few) for few in neighbours])
    moments = np.arange(len(relative))
    if np.ptp(relative) == 0 or stats.kendalltau(moments, relative).pvalue >= SIGNIFICANT:
        return 1.0
    change = float(stats.theilslopes(relative).slope) * len(relative)
    return 1.0 if abs(change) <= SMALLEST_DRIFT else 1.0 + change
