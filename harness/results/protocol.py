"""Which conditions decide whether two numbers may be compared.

Two kinds of condition count, and a metric names both. Those of its `protocol` (data, evaluator,
device, batch ...) must agree between any two values. A detector's own `settings` (input size, score
threshold, NMS, detections per image, recipe) are part of what is compared when detectors differ:
TinyDet-L takes 512x512 because it is TinyDet-L. Between two values of the same detector they mean
that one thing was measured differently, and are a mismatch too. What was merely observed (boxes
found, load of the machine, clocks) decides nothing here; `harness.results.validity` judges it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.data.scaling import describe_input
from harness.plugin.metrics import MetricSpec

NOT_RECORDED = "not recorded"
# What it means where a condition is recorded only if it is another.
UNSAID: Mapping[str, str] = {"recipe": "the suite's"}
Conditions = Mapping[str, Any]
# How a condition is called; others by their name without underscores.
WORDS: Mapping[str, str] = {
    "annotations_sha256": "annotations",
    "iou_type": "IoU of",
    "iou_thresholds": "IoU thresholds",
    "max_detections": "detections counted per image",
    "area": "area that decides the size",
    "score_threshold": "score threshold",
    "nms": "NMS",
    "detections_per_image": "detections kept per image",
    "device_type": "kind of device",
    "rule": "counting rule",
    "proposals": "proposals counted",
    "accumulate": "accumulated batches",
    "workers": "loader workers",
    "memory": "memory of",
}
# Seen while measuring, not chosen: part of no protocol.
OBSERVED = (
    "boxes",
    "object_images",
    "detections",
    "proposals_valid",
    "proposals_entering_nms",
    "load_average",
    "other_cores",
    "child_cores",
    "cpu_clock",
    "gpu",
    "warmup",
    "kernels_per",
    "device_idle_share",
    "unsupported_ops",
    "first_step",
    "sessions",
)
# Of a metric that names no protocol: what a detector itself decides.
OWN = ("input", "input_sizes", "score_threshold", "nms", "detections_per_image")


@dataclass(frozen=True)
class Mismatch:
    """A condition on which two numbers differ.

    Attributes:
        name: of the condition, in words.
        base, other: its values in words, "not recorded" where a row does not say.
        key: of the condition.
    """

    name: str
    base: str
    other: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.base} against {self.other}"


def mismatches(
    spec: MetricSpec, base: Conditions, other: Conditions, *, same_detector: bool
) -> tuple[Mismatch, ...]:
    """Why two numbers of a metric may not be compared; empty when they may.

    A condition that neither recorded is passed over. One that a single row lacks is a mismatch,
    since nobody knows its value.

    Args:
        base, other: conditions as recorded.
        same_detector: whether both are of one detector.
    """
    if not spec.comparable and not same_detector:
        return (Mismatch(f"what makes up its {spec.title}", "one detector's", "another's"),)
    shared, own = protocol_of(spec, base, other)
    return tuple(
        Mismatch(
            in_words(key), show_value(key, base.get(key)), show_value(key, other.get(key)), key
        )
        for key in ([*shared, *own] if same_detector else shared)
        if _plain(base.get(key)) != _plain(other.get(key))
    )


def find_mixed(spec: MetricSpec, seeds: Sequence[Conditions]) -> tuple[Mismatch, ...]:
    """On what the seeds of one detector differ from the first of them, each difference once."""
    found = [m for c in seeds[1:] for m in mismatches(spec, seeds[0], c, same_detector=True)]
    return tuple(dict.fromkeys(found))


def protocol_of(spec: MetricSpec, *conditions: Conditions) -> tuple[list[str], list[str]]:
    """Conditions of the protocol, and of the detector's own settings.

    Of a metric that names none, everything that was not merely observed.
    """
    if spec.protocol or spec.settings:
        return list(spec.protocol), list(spec.settings)
    keys = sorted({key for each in conditions for key in each})
    # detections_per_image begins like something observed
    chosen = [key for key in keys if key in OWN or not key.startswith(OBSERVED)]
    return [key for key in chosen if key not in OWN], [key for key in chosen if key in OWN]


def in_words(condition: str) -> str:
    """A condition's name for people."""
    return WORDS.get(condition, condition.replace("_", " "))


def show_value(condition: str, value: Any) -> str:
    """A condition's value for people: hashes short, an input as its size."""
    if value is None:
        return UNSAID.get(condition, NOT_RECORDED)
    if condition == "input" and isinstance(value, Mapping):
        return describe_input(value)
    if condition.endswith("sha256"):
        return str(value)[:12]
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> str:
    """Equal for equal values, whether they come from Python or back from JSON."""
    return json.dumps(value, sort_keys=True, default=str)
