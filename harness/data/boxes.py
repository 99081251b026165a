"""Boxes as numpy arrays, xyxy with exclusive corners, and COCO's size bins. No torch here."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Areas in square pixels of the image, as in pycocotools (`cocoeval.Params.setDetParams`).
SIDES = (32.0, 96.0)  # square roots of the areas between small, medium and large
LARGEST = 1e10
COCO_AREAS: Mapping[str, tuple[float, float]] = {
    "all": (0.0, LARGEST),
    "small": (0.0, SIDES[0] ** 2),
    "medium": (SIDES[0] ** 2, SIDES[1] ** 2),
    "large": (SIDES[1] ** 2, LARGEST),
}
BINS = ("small", "medium", "large")


def box_areas(boxes: Floats) -> Floats:
    """(N, 4) -> (N,)."""
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))


def pairwise_ious(boxes: Floats, others: Floats) -> Floats:
    """IoU of each of (N, 4) with each of (M, 4): (N, M); 0 where neither has an area."""
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    union = box_areas(boxes)[:, None] + box_areas(others) - shared
    ious: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ious
