"""COCO's size bins, by the area of an object in square pixels of the image.

As pycocotools has them (`cocoeval.Params.setDetParams`).
"""

from collections.abc import Mapping

SIDES = (32.0, 96.0)  # square roots of the areas between small, medium and large
LARGEST = 1e10
COCO_AREAS: Mapping[str, tuple[float, float]] = {
    "all": (0.0, LARGEST),
    "small": (0.0, SIDES[0] ** 2),
    "medium": (SIDES[0] ** 2, SIDES[1] ** 2),
    "large": (SIDES[1] ** 2, LARGEST),
}
BINS = ("small", "medium", "large")
