"""What speaks against a measurement, one rule at a time.

A rule looks at a record and at the raw samples behind it; `harness.results.validity` asks those
that a metric names. A warning of the same code on the record is not repeated.
"""

import math
from collections.abc import Iterator, Sequence

from harness.plugin.metrics import Finding
from harness.records.record import Record
from harness.results.samples.medians import compare_latency
from harness.results.samples.percentiles import percentile_interval, samples_needed
from harness_plugins.meters.metrics import PERCENTILES

Samples = Sequence[float]

FEW_IMAGES = 100
FEW_BOXES = 30
FEW_OBJECT_IMAGES = 20
FEW_SAMPLES = 50
FEW_WARM_UPS = 3
FEW_EFFECTIVE = 20
DRIFT = 0.05  # of the last third against the first
CLOCK_CHANGE = 0.1
# products that a counter must not pass over
HEAVY = ("conv", "mm", "matmul", "linear", "attention", "einsum")


def untrained_score(record: Record, samples: Samples) -> Iterator[Finding]:
    if not record.weights:
        yield Finding("untrained", "invalid")


def untrained_time(record: Record, samples: Samples) -> Iterator[Finding]:
    if not record.weights:
        yield Finding("untrained_time")


def few_images(record: Record, samples: Samples) -> Iterator[Finding]:
    images = record.conditions.get("images")
    if images is not None and images < FEW_IMAGES:
        yield Finding("few_images", params={"images": images})


def few_boxes(record: Record, samples: Samples) -> Iterator[Finding]:
    boxes = record.conditions.get("boxes")
    if boxes is not None and 0 < boxes < FEW_BOXES:
        yield Finding("few_boxes", params={"boxes": boxes})


def few_object_images(record: Record, samples: Samples) -> Iterator[Finding]:
    images = record.conditions.get("object_images")
    if images is not None and 0 < images < FEW_OBJECT_IMAGES:
        yield Finding("few_object_images", params={"images": images})


def nothing_found(record: Record, samples: Samples) -> Iterator[Finding]:
    if record.conditions.get("detections") == 0:
        yield Finding("nothing_found")


def few_samples(record: Record, samples: Samples) -> Iterator[Finding]:
    count = record.count if record.count is not None else len(samples)
    if record.count is None and not samples:
        yield Finding("count_unknown")
    elif count < samples_needed(50):
        yield Finding("too_few_samples", "invalid", {"count": count})
    elif count < FEW_SAMPLES:
        yield Finding("few_samples", params={"count": count})


def impossible_samples(record: Record, samples: Samples) -> Iterator[Finding]:
    bad = sum(not (math.isfinite(x) and x > 0) for x in samples)
    if bad:
        yield Finding("impossible_samples", "invalid", {"bad": bad, "count": len(samples)})


def unbounded_percentile(record: Record, samples: Samples) -> Iterator[Finding]:
    percent = PERCENTILES.get(record.metric.rpartition("_")[2])
    if percent in (None, 50) or len(samples) < samples_needed(50):
        return
    if math.isnan(percentile_interval(samples, percent)[0]):
        told = {"count": len(samples), "needed": samples_needed(percent)}
        yield Finding("unbounded_percentile", params=told)


def drifting(record: Record, samples: Samples) -> Iterator[Finding]:
    third = len(samples) // 3
    if third < samples_needed(50) or any(impossible_samples(record, samples)):
        return
    change = compare_latency(samples[:third], samples[-third:], DRIFT)
    if change.outside:
        way = "slower" if change.ratio > 1 else "faster"
        yield Finding("drift", params={"change": abs(change.ratio - 1), "way": way})


def dependent(record: Record, samples: Samples) -> Iterator[Finding]:
    if len(samples) < FEW_SAMPLES or any(impossible_samples(record, samples)):
        return
    worth = compare_latency(samples, samples).effective[0]
    if worth < FEW_EFFECTIVE:
        yield Finding("autocorrelated", params={"count": len(samples), "effective": worth})


def short_warm_up(record: Record, samples: Samples) -> Iterator[Finding]:
    runs = record.conditions.get("warmup_runs")
    if runs is not None and runs < FEW_WARM_UPS:
        yield Finding("short_warm_up", params={"runs": runs})


def slow_ops(record: Record, samples: Samples) -> Iterator[Finding]:
    if record.conditions.get("ops") != "reference":
        return
    if record.conditions.get("device_type") == "cuda":
        yield Finding("reference_on_gpu")
    else:
        yield Finding("reference_ops", "remark")


def changing_clock(record: Record, samples: Samples) -> Iterator[Finding]:
    before, after = (record.conditions.get(f"gpu_sm_clock_mhz_{t}") for t in ("before", "after"))
    if before and after and min(before, after) < (1 - CLOCK_CHANGE) * max(before, after):
        yield Finding("changing_clock", params={"before": before, "after": after})


def operators_passed_over(record: Record, samples: Samples) -> Iterator[Finding]:
    operators = record.conditions.get("unsupported_ops") or {}
    heavy = [name for name in operators if _is_heavy(name)]
    if heavy:
        yield Finding("operators_passed_over", params={"operators": ", ".join(heavy)})


def _is_heavy(operator: str) -> bool:
    name = operator.rpartition("::")[2]
    return any(word in name for word in HEAVY)
