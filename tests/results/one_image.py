"""Cats (class 1) and dogs (class 2) in a few images, square and in a row."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.stages.inputs import EvaluationInput, GroundTruth

Entry = Mapping[str, Any]


def truth(
    category: int, x: float, y: float, side: float, image: int = 1, crowd: bool = False
) -> dict[str, Any]:
    box = [x, y, side, side]
    area = side * side
    return {
        "image_id": image, "category_id": category, "bbox": box, "area": area, "iscrowd": int(crowd)
    }  # fmt: skip


def cat(x: float, side: float = 10, image: int = 1) -> dict[str, Any]:
    return truth(1, x, 0, side, image)


def dog(x: float, side: float = 10, image: int = 1) -> dict[str, Any]:
    return truth(2, x, 0, side, image)


def found(box: Entry, score: float) -> dict[str, Any]:
    return {key: box[key] for key in ("image_id", "category_id", "bbox")} | {"score": score}


def scored(objects: Sequence[Entry], detections: Sequence[Entry]) -> EvaluationInput:
    names = {1: "cat", 2: "dog"}
    sizes = ((1000, 1000),) * 3
    return EvaluationInput(
        GroundTruth((1, 2, 3), names, tuple(objects), "", sizes), tuple(detections)
    )
