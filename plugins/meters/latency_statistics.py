"""From raw samples to records: percentiles, spread, throughput, and what speaks against them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.plugin.metrics import Finding
from harness.records.measurement import Measurement
from harness_plugins.meters.checks import FEW_SAMPLES
from harness_plugins.meters.metrics import PERCENTILES, SPREAD, latency_name

FAR_TAIL = 1.5

Samples = dict[str, list[float]]


def measurements(
    samples: Samples, batch_size: int, conditions: Mapping[str, Any], warnings: tuple[Finding, ...]
) -> list[Measurement]:
    """Statistics of the samples, none of them left out."""
    numbers = []
    for kind, times in samples.items():
        doubts = warnings + sample_warnings(times)
        for name, value in statistics(times).items():
            numbers.append(
                Measurement(
                    latency_name(kind, name),
                    value,
                    count=len(times),
                    samples=tuple(times) if name == "p50" else (),
                    conditions=conditions,
                    warnings=doubts,
                )
            )
    times = samples["end_to_end"]
    numbers.append(
        Measurement(
            "throughput",
            1e3 * batch_size * len(times) / math.fsum(times),
            count=len(times),
            conditions={**conditions, "of": "end_to_end, one batch after another"},
            warnings=warnings + sample_warnings(times),
        )
    )
    return numbers


def statistics(times: Sequence[float]) -> dict[str, float]:
    """Percentiles, linear between samples, and the interquartile range."""
    found = {name: float(np.percentile(times, p)) for name, p in PERCENTILES.items()}
    low, high = np.percentile(times, [25, 75])
    return {**found, SPREAD: float(high - low)}


def sample_warnings(times: Sequence[float]) -> tuple[Finding, ...]:
    """What the samples themselves say against them."""
    found = []
    if len(times) < FEW_SAMPLES:
        found.append(Finding("rough_percentiles", params={"count": len(times)}))
    p50, p99 = np.percentile(times, [50, 99])
    if p99 > FAR_TAIL * p50:
        found.append(Finding("far_tail", params={"ratio": round(float(p99 / p50), 2)}))
    return tuple(found)
