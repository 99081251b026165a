"""Which conditions decide whether two numbers may be compared.

Two kinds of condition count. Those of the *protocol* (data, evaluator, device, batch ...) must
agree between any two rows. A detector's *own settings* (input size, score threshold, NMS,
detections per image) are part of what is compared when the detectors differ: TinyDet-L takes
512x512 because it is TinyDet-L. Between two rows of the same detector they mean that one thing
was measured differently, and are a mismatch too. What was merely observed (boxes found, load of
the machine, clocks) decides nothing here; `harness.results.validity` judges it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.data.scaling import describe_input
from harness.results.families import family_of

NOT_RECORDED = "not recorded"
Conditions = Mapping[str, Any]
Names = Mapping[str, str]  # condition -> in words


@dataclass(frozen=True)
class Mismatch:
    """A condition on which two numbers differ.

    Attributes:
        name: of the condition, in words.
        base, other: its values in words, "not recorded" where a row does not say.
    """

    name: str
    base: str
    other: str

    def __str__(self) -> str:
        return f"{self.name}: {self.base} against {self.other}"


@dataclass(frozen=True)
class Protocol:
    """What must agree between any two rows, and what only within one detector."""

    shared: Names
    own: Names


SELECTION: Names = {
    "score_threshold": "score threshold",
    "nms": "NMS",
    "detections_per_image": "detections kept an image",
}
AP = Protocol(
    shared={
        "annotations_sha256": "annotations",
        "images": "images",
        "evaluator": "evaluator",
        "iou_type": "IoU of",
        "iou_thresholds": "IoU thresholds",
        "max_detections": "detections counted per image",
        "area": "area that decides the size",
        "area_range": "area range",
    },
    own={"input": "input", **SELECTION, "precision": "precision"},
)
LATENCY = Protocol(
    shared={
        "device": "device",
        "device_type": "kind of device",
        "precision": "precision",
        "mode": "mode",
        "batch_size": "batch size",
        "threads": "threads",
        "ops": "ops",
        "images": "images",
        "image_sizes": "image sizes",
        "clock": "clock",
        "classes": "classes",
    },
    own={"input": "input", "input_sizes": "input sizes", **SELECTION},
)
MEMORY = Protocol({**LATENCY.shared, "memory": "memory of"}, LATENCY.own)
COST = Protocol(
    shared={
        "rule": "counting rule",
        "counter": "counter",
        "batch_size": "batch size",
        "classes": "classes",
    },
    own={"input": "input", "input_size": "input size", "proposals": "proposals counted"},
)
PARAMETERS = Protocol(shared={"classes": "classes"}, own={})
TRAINING = Protocol(
    shared={
        "device": "device",
        "precision": "precision",
        "batch_size": "batch size",
        "processes": "processes",
        "accumulate": "accumulated batches",
        "workers": "loader workers",
        "threads": "threads",
        "memory": "memory of",
    },
    own={"optimizer": "optimizer", "steps": "steps"},
)
PROTOCOLS: Mapping[str, Protocol] = {
    "ap": AP,
    "ar": AP,
    "latency": LATENCY,
    "throughput": LATENCY,
    "memory": MEMORY,
    "mode": LATENCY,
    "macs": COST,
    "activations": COST,
    "parameters": PARAMETERS,
    "train": TRAINING,
}
# Seen while measuring, not chosen: no part of any protocol.
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


def mismatches(
    metric: str, base: Conditions, other: Conditions, *, same_detector: bool
) -> tuple[Mismatch, ...]:
    """Why two numbers of a metric may not be compared; empty when they may.

    A condition that both rows lack is passed over: runs of one older version stay comparable
    with each other. One that a single row lacks is a mismatch, since nobody knows its value.

    Args:
        base, other: conditions as recorded.
        same_detector: whether both rows have the same detector's name.
    """
    protocol = protocol_of(metric, base, other)
    if metric == "train_loss" and not same_detector:
        return (Mismatch("loss terms", "one detector's", "another's"),)
    names = {**protocol.shared, **protocol.own} if same_detector else protocol.shared
    return _differences(names, base, other)


def find_mixed(metric: str, seeds: Sequence[Conditions]) -> tuple[Mismatch, ...]:
    """On what the seeds of one detector differ from the first of them, each difference once."""
    found = [m for c in seeds[1:] for m in mismatches(metric, seeds[0], c, same_detector=True)]
    return tuple(dict.fromkeys(found))


def notes(
    metric: str, base: Conditions, other: Conditions, *, same_detector: bool
) -> tuple[Mismatch, ...]:
    """Settings of their own in which two different detectors differ: to be told, not refused."""
    if same_detector:
        return ()
    return _differences(protocol_of(metric, base, other).own, base, other)


def protocol_of(metric: str, *conditions: Conditions) -> Protocol:
    """The protocol of a metric; of an unknown one, everything that was not merely observed."""
    family = family_of(metric)
    if family in PROTOCOLS:
        return PROTOCOLS[family]
    keys = sorted({key for each in conditions for key in each if not key.startswith(OBSERVED)})
    own = {key: in_words(key) for key in keys if key in AP.own or key in LATENCY.own}
    return Protocol({key: in_words(key) for key in keys if key not in own}, own)


def in_words(condition: str) -> str:
    """A condition's name for people."""
    for protocol in (AP, LATENCY, COST, TRAINING):
        known = {**protocol.shared, **protocol.own}
        if condition in known:
            return known[condition]
    return condition.replace("_", " ")


def show_value(condition: str, value: Any) -> str:
    """A condition's value for people: hashes short, an input as its size."""
    if value is None:
        return NOT_RECORDED
    if condition == "input" and isinstance(value, Mapping):
        return describe_input(value)
    if condition.endswith("sha256"):
        return str(value)[:12]
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _differences(names: Names, base: Conditions, other: Conditions) -> tuple[Mismatch, ...]:
    return tuple(
        Mismatch(name, show_value(key, base.get(key)), show_value(key, other.get(key)))
        for key, name in names.items()
        if _plain(base.get(key)) != _plain(other.get(key))
    )


def _plain(value: Any) -> str:
    """Equal for equal values, whether they come from Python or back from JSON."""
    return json.dumps(value, sort_keys=True, default=str)
