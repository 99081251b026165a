"""What speaks against a measurement, one rule at a time.

A rule looks at a record and, of a latency, at the raw samples behind it; what it finds is a level
and a reason in words. "invalid": the number says nothing of the detector. "doubtful": it may be
off by more than its interval tells. "valid" is a remark that casts no doubt.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

from harness.plan.cells import name_stage
from harness.records.record import Record
from harness.results.families import family_of, needs_data
from harness.results.samples.medians import compare_latency, percentile_interval, samples_needed

Level = Literal["valid", "doubtful", "invalid"]
Finding = tuple[Level, str]
Samples = Sequence[float]

FEW_IMAGES = 100
FEW_BOXES = 30
FEW_OBJECT_IMAGES = 20
FEW_SAMPLES = 50
FEW_WARM_UPS = 3
FEW_EFFECTIVE = 20
FEW_STEPS = 20
DRIFT = 0.05  # of the last third against the first
CLOCK_CHANGE = 0.1
LONG_WAIT = 0.25
# products that a counter must not pass over
HEAVY = ("conv", "mm", "matmul", "linear", "attention", "einsum")
# recorded warnings that a rule here says in its own words
RESTATED = ("only ", "there are no detections", "the weights are random")
REMARKS = ("counted with ", "unknown whether ")


def failed(record: Record, samples: Samples) -> Iterator[Finding]:
    if record.status != "ok":
        stage = name_stage(record.stage, record.mode)
        yield "invalid", f"{stage} {record.status}: {record.error}".rstrip(": ")


def without_number(record: Record, samples: Samples) -> Iterator[Finding]:
    if record.kind == "cell" or math.isfinite(record.value):
        return
    if record.conditions.get("boxes") == 0:
        yield "invalid", "the ground truth has no such object"
    else:
        yield "invalid", "there is no number: it could not be measured"


def warned(record: Record, samples: Samples) -> Iterator[Finding]:
    for warning in record.warnings:
        if warning.startswith(REMARKS):
            yield "valid", warning
        elif not warning.startswith(RESTATED):
            yield "doubtful", warning


def untrained(record: Record, samples: Samples) -> Iterator[Finding]:
    if record.weights:
        return
    if needs_data(record.metric):
        yield "invalid", "the weights are random: the detector was not trained"
    elif family_of(record.metric) in ("latency", "throughput"):
        yield "doubtful", "the weights are random, and what is found decides how long NMS takes"


def few_images(record: Record, samples: Samples) -> Iterator[Finding]:
    images = record.conditions.get("images")
    if images is not None and images < FEW_IMAGES:
        yield "doubtful", f"on only {images} images"


def few_boxes(record: Record, samples: Samples) -> Iterator[Finding]:
    boxes = record.conditions.get("boxes")
    if boxes is not None and 0 < boxes < FEW_BOXES:
        yield "doubtful", f"it rests on only {boxes} objects"


def few_object_images(record: Record, samples: Samples) -> Iterator[Finding]:
    images = record.conditions.get("object_images")
    if images is not None and 0 < images < FEW_OBJECT_IMAGES:
        yield "doubtful", f"its objects stand in only {images} images"


def nothing_found(record: Record, samples: Samples) -> Iterator[Finding]:
    if record.conditions.get("detections") == 0:
        yield "doubtful", "there are no detections at all"


def few_samples(record: Record, samples: Samples) -> Iterator[Finding]:
    count = record.count if record.count is not None else len(samples)
    if record.count is None and not samples:
        yield "doubtful", "on how many samples is unknown"
    elif count < samples_needed(50):
        yield "invalid", f"only {count} samples: not even the median has an interval"
    elif count < FEW_SAMPLES:
        yield "doubtful", f"only {count} samples"


def impossible_samples(record: Record, samples: Samples) -> Iterator[Finding]:
    bad = sum(not (math.isfinite(x) and x > 0) for x in samples)
    if bad:
        yield "invalid", f"{bad} of {len(samples)} samples are not positive: the clock is wrong"


def unbounded_percentile(record: Record, samples: Samples) -> Iterator[Finding]:
    percent = percent_of(record.metric)
    if percent in (None, 50) or len(samples) < samples_needed(50):
        return
    if math.isnan(percentile_interval(samples, percent)[0]):
        needed = samples_needed(percent)
        yield (
            "doubtful",
            f"{len(samples)} samples do not bound it; that takes {needed} independent ones",
        )


def drifting(record: Record, samples: Samples) -> Iterator[Finding]:
    third = len(samples) // 3
    if third < samples_needed(50) or any(impossible_samples(record, samples)):
        return
    change = compare_latency(samples[:third], samples[-third:], DRIFT)
    if change.outside:
        how = f"{abs(change.ratio - 1):.0%} {'slower' if change.ratio > 1 else 'faster'}"
        yield "doubtful", f"the samples drift: the last third is {how} than the first"


def dependent(record: Record, samples: Samples) -> Iterator[Finding]:
    if len(samples) < FEW_SAMPLES or any(impossible_samples(record, samples)):
        return
    worth = compare_latency(samples, samples).effective[0]
    if worth < FEW_EFFECTIVE:
        yield (
            "doubtful",
            f"neighbouring samples are correlated: {len(samples)} are worth about {worth:.0f}",
        )


def short_warm_up(record: Record, samples: Samples) -> Iterator[Finding]:
    runs = record.conditions.get("warmup_runs")
    if runs is not None and runs < FEW_WARM_UPS:
        yield "doubtful", f"warmed up with {runs} run{'s' * (runs != 1)} only"


def slow_ops(record: Record, samples: Samples) -> Iterator[Finding]:
    if record.conditions.get("ops") != "reference":
        return
    if record.conditions.get("device_type") == "cuda":
        yield "doubtful", "on a GPU without compiled ops: the slow reference was timed"
    else:
        yield "valid", "without compiled ops: the reference was timed"


def changing_clock(record: Record, samples: Samples) -> Iterator[Finding]:
    before, after = (record.conditions.get(f"gpu_sm_clock_mhz_{t}") for t in ("before", "after"))
    if before and after and min(before, after) < (1 - CLOCK_CHANGE) * max(before, after):
        yield "doubtful", f"the GPU's clock went from {before} to {after} MHz meanwhile"


def passed_over(record: Record, samples: Samples) -> Iterator[Finding]:
    operators = record.conditions.get("unsupported_ops") or {}
    heavy = [name for name in operators if _is_heavy(name)]
    if heavy:
        yield "doubtful", f"the counter counts nothing for {', '.join(heavy)}"


def few_steps(record: Record, samples: Samples) -> Iterator[Finding]:
    if record.count is not None and record.count < FEW_STEPS:
        yield "doubtful", f"over only {record.count} steps"


def resumed(record: Record, samples: Samples) -> Iterator[Finding]:
    sessions = record.conditions.get("sessions", 1)
    if sessions > 1:
        yield "doubtful", f"the training ran in {sessions} sessions"


def long_wait(record: Record, samples: Samples) -> Iterator[Finding]:
    if record.value > LONG_WAIT:
        yield "valid", "the loader set the pace of training, not the network"


def percent_of(metric: str) -> float | None:
    """90 of "latency_network_p90"; None of a metric that is not a percentile."""
    last = metric.rpartition("_")[2]
    return float(last[1:]) if last.startswith("p") and last[1:].isdigit() else None


def _is_heavy(operator: str) -> bool:
    name = operator.rpartition("::")[2]
    return any(word in name for word in HEAVY)
