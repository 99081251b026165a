"""Whether the detectors were trained alike: if not, a difference is not the detectors' alone."""

from collections.abc import Mapping
from typing import Any

from harness.results.run import Run


def unequal_training(run: Run) -> str:
    """How long each was trained, where they differ in it or in where they began; else ""."""
    told: dict[str, list[str]] = {}
    for name, detector in run.plan["detectors"].items():
        told.setdefault(_in_words(detector), []).append(name)
    told.pop("", None)
    if len(told) < 2:
        return ""
    parts = [f"{', '.join(names)}: {words}" for words, names in told.items()]
    return (
        f"Not trained alike ({'; '.join(parts)}): "
        "differences between them are differences in training, too."
    )


def _in_words(detector: Mapping[str, Any]) -> str:
    train = detector.get("train")
    if not train:
        return ""
    length = f"{train['steps']:,} steps" if train["steps"] else f"{train['epochs']} epochs"
    batch = train["batch_size"] * train.get("accumulate", 1)
    weights = {"checkpoint": "a checkpoint", "backbone_checkpoint": "a backbone's checkpoint"}
    begun = [words for key, words in weights.items() if detector.get(key)]
    return f"{length} of {batch} images" + "".join(f" from {words}" for words in begun)
