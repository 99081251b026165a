"""From raw samples to records: percentiles, spread, throughput, and what speaks against them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.records.measurement import Measurement

FEW_SAMPLES = 50
FAR_TAIL = 1.5
PERCENTILES = {"p50": 50, "p90": 90, "p99": 99}

Samples = dict[str, list[float]]


def measurements(
    samples: Samples, batch_size: int, conditions: Mapping[str, Any], warnings: tuple[str, ...]
) -> list[Measurement]:
    """Statistics of the samples, none of them left out."""
    numbers = []
    for kind, times in samples.items():
        doubts = warnings + sample_warnings(times)
        for name, value in statistics(times).items():
            numbers.append(
                Measurement(
                    f"latency_{kind}_{name}",
                    value,
                    "ms",
                    higher_is_better=False,
                    count=len(times),
                    samples=tuple(times) if name == "p50" else (),
                    conditions=conditions,
                    warnings=doubts,
                )
            )
    return [*numbers, throughput(samples["end_to_end"], batch_size, conditions, warnings)]


def throughput(
    times: Sequence[float],
    batch_size: int,
    conditions: Mapping[str, Any],
    warnings: tuple[str, ...],
) -> Measurement:
    """Images a second of one batch after another, end to end."""
    return Measurement(
        "throughput",
        1e3 * batch_size * len(times) / math.fsum(times),
        "images/s",
        higher_is_better=True,
        count=len(times),
        conditions={**conditions, "of": "end_to_end, one batch after another"},
        warnings=warnings + sample_warnings(times),
    )


def statistics(times: Sequence[float]) -> dict[str, float]:
    """Percentiles, linear between samples, and the interquartile range."""
    found = {name: float(np.percentile(times, p)) for name, p in PERCENTILES.items()}
    low, high = np.percentile(times, [25, 75])
    return {**found, "spread": float(high - low)}


def sample_warnings(times: Sequence[float]) -> tuple[str, ...]:
    """What the samples themselves say against them."""
    found = []
    if len(times) < FEW_SAMPLES:
        found.append(f"only {len(times)} samples: p90 and p99 are rough")
    p50, p99 = np.percentile(times, [50, 99])
    if p99 > FAR_TAIL * p50:
        found.append(f"p99 is {p99 / p50:.1f} times p50: some runs took far longer than most")
    return tuple(found)
