"""Whether a published figure and a measurement hold for the same thing."""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from harness.data.scaling import describe_input
from harness.manifest.schema import Published
from harness.results.families import family_of, needs_data

Conditions = Mapping[str, Any]

COCO_DETECTIONS = 100
DATA = ("annotations_sha256", "images", "boxes", "classes")
# What a claim must state before it can be compared.
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "ap": ("input",),
    "ar": ("input",),
    "macs": ("classes", "input"),
    "activations": ("classes", "input"),
    "parameters": ("classes",),
    "latency": ("device", "precision", "mode", "batch_size", "input"),
    "throughput": ("device", "precision", "mode", "batch_size", "input"),
}
WORDS = {
    "annotations_sha256": "annotation file",
    "images": "number of images",
    "boxes": "number of boxes",
    "classes": "number of classes",
    "input": "input size",
    "proposals": "number of proposals",
    "batch_size": "batch size",
}


def find_obstacle(claim: Published, here: Conditions) -> str:
    """Why a claim does not compare with a measurement, "" when it does.

    Args:
        here: `conditions_here` of the measurement.
    """
    stated = claim.conditions.model_dump(exclude_none=True)
    return (
        _difference(claim, stated, here)
        or _unidentified(claim, stated, here)
        or _missing(claim, stated, here)
    )


def conditions_here(
    claim: Published, plan: Mapping[str, Any], whole: pd.DataFrame, row: Any
) -> dict[str, Any]:
    """A measurement's conditions in the words of a claim's.

    Args:
        plan: of the run; says what records of older versions do not.
        whole: the detector's rows that are not of a class or role.
        row: of the claim's metric.
    """
    here = json.loads(row.conditions)
    here.setdefault("classes", len(plan["classes"]))
    resize = here.get("input") or _planned_input(plan["detectors"][claim.detector])
    # a cost was counted for one image, whatever sizes the detector takes
    here["input"] = here.get("input_size") or (describe_input(resize) if resize else None)
    if needs_data(claim.metric):
        here["boxes"] = _boxes(whole, row.seed)
    return {key: value for key, value in here.items() if value is not None}


def _boxes(whole: pd.DataFrame, seed: int) -> int | None:
    """Boxes of all sizes; the record of AP-small counts only its own."""
    rows = whole[(whole["metric"] == "ap") & (whole["seed"] == seed)]
    found: int | None = json.loads(rows["conditions"].iloc[0]).get("boxes") if len(rows) else None
    return found


def _planned_input(detector: Mapping[str, Any]) -> dict[str, Any] | None:
    """Of runs that did not record it: assembled detectors squash, of whole ones it is unknown."""
    if "detector" in detector["parts"]:
        return None
    height, width = detector["input"]["size"]
    return {"kind": "squash", "height": height, "width": width}


def _difference(claim: Published, stated: Conditions, here: Conditions) -> str:
    """The first condition on which both speak and disagree."""
    for key, value in stated.items():
        if key in here and here[key] != value:
            return (
                f"{_kind(claim, key)}: {_show(key, here[key])} here, {_show(key, value)} published"
            )
    return ""


def _unidentified(claim: Published, stated: Conditions, here: Conditions) -> str:
    """Of an AP: what keeps its data from being the same."""
    if not needs_data(claim.metric):
        return ""
    if here.get("max_detections", COCO_DETECTIONS) != COCO_DETECTIONS:
        return f"other protocol: {here['max_detections']} detections per image here, COCO has 100"
    if "annotations_sha256" in stated or all(key in stated for key in DATA[1:]):
        return ""
    return "the claim does not say what identifies its data"


def _missing(claim: Published, stated: Conditions, here: Conditions) -> str:
    """What either side would have to say and does not."""
    needed = [*REQUIRED.get(family_of(claim.metric), ())]
    needed += ["proposals"] if "proposals" in here else []
    for key in needed:
        if key not in stated:
            return f"the claim does not say its {_words(key)}"
    for key in stated:
        if key not in here:
            return f"the measurement does not say its {_words(key)}"
    return "" if stated else "the claim does not say what it holds for"


def _kind(claim: Published, key: str) -> str:
    if needs_data(claim.metric) and key in DATA:
        return "other data" if key == "classes" else "other data or split"
    return f"other {_words(key)}"


def _show(key: str, value: Any) -> str:
    if key == "annotations_sha256":
        return f"annotations {value[:12]}"
    count = f"{value:,}" if isinstance(value, int) else str(value)
    return f"{count} {key}" if key in DATA or key == "proposals" else count


def _words(key: str) -> str:
    return WORDS.get(key, key)
