"""Finds what a valid annotation file probably means otherwise than it says. No torch here."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MOSTLY = 0.5  # share of boxes or images from which on a file as a whole is suspected
CROWDED = 100  # objects; COCO's AP counts as many detections of an image


def placeholder_areas(boxes: Floats, areas: Floats) -> bool:
    """Whether `area` is one number for boxes of several sizes, as some converters write it.

    Args:
        boxes: (n, 4) xywh.
        areas: (n,) the field `area`.
    """
    if len(areas) < 2 or np.ptp(areas) > 0:
        return False
    products = boxes[:, 2] * boxes[:, 3]
    return bool(np.ptp(products) > 0 or (areas[0] <= 1 < products[0]))


def suspicions(
    boxes: Floats,
    sizes: Floats,
    owners: NDArray[np.int64],
    kinds: NDArray[np.int64],
    areas: Floats,
    images: int,
) -> list[str]:
    """Notes, one line each, with a way out.

    Args:
        boxes: (n, 4) xywh.
        sizes: (n, 2) width and height of each box's image.
        owners: (n,) position of its image.
        kinds: (n,) its class, and whether it is a crowd.
        areas: (n,) the field `area`, placeholders already replaced.
        images: how many there are.
    """
    if not len(boxes):
        return []
    notes = [_corners(boxes, sizes), _fractions(boxes), _large_areas(boxes, areas)]
    notes += [_twice(boxes, owners, kinds), _crowded(owners), _background(owners, images)]
    return [note for note in notes if note]


def _corners(boxes: Floats, sizes: Floats) -> str:
    """Corners have x2 > x1 and y2 > y1 inside the image, and reach out of it as xywh."""
    inside = ((boxes[:, 2:] > boxes[:, :2]) & (boxes[:, 2:] <= sizes + 1)).all(1)
    outside = (boxes[:, :2] + boxes[:, 2:] > sizes + 1).any(1)
    if not (inside.all() and outside.mean() >= MOSTLY / 2):
        return ""
    return (
        f"all {len(boxes)} boxes can be corners x1, y1, x2, y2, and {int(outside.sum())} reach out "
        "of their image as x, y, width, height: convert them with width = x2 - x1, height = y2 - y1"
    )


def _fractions(boxes: Floats) -> str:
    if not (boxes <= 1).all() or not (boxes[:, 2:] > 0).any():
        return ""
    return (
        f"all {len(boxes)} boxes lie between 0 and 1, so they are fractions of the image: multiply "
        "x and width by the image's width, y and height by its height"
    )


def _large_areas(boxes: Floats, areas: Floats) -> str:
    larger = int((areas > boxes[:, 2] * boxes[:, 3] * 1.01 + 1).sum())
    if not larger:
        return ""
    return f"{larger} annotations have an area larger than their box, which no mask has"


def _twice(boxes: Floats, owners: NDArray[np.int64], kinds: NDArray[np.int64]) -> str:
    rows = np.column_stack([owners, kinds, boxes])
    rows = rows[np.lexsort(rows.T)]
    again = int((rows[1:] == rows[:-1]).all(1).sum())
    if not again:
        return ""
    return (
        f"{again} boxes occur more than once (same image, class and box): perfect detections then "
        "miss the copies; remove them"
    )


def _crowded(owners: NDArray[np.int64]) -> str:
    counts = np.bincount(owners)
    crowded = int((counts > CROWDED).sum())
    if not crowded:
        return ""
    holding = "1 image holds" if crowded == 1 else f"{crowded} images hold"
    return (
        f"{holding} more than {CROWDED} objects (up to {counts.max()}): AP counts the "
        f"best {CROWDED} detections of a class and image unless --max-detections is higher"
    )


def _background(owners: NDArray[np.int64], images: int) -> str:
    empty = images - len(np.unique(owners))
    if empty < MOSTLY * images:
        return ""
    return f"{empty} of {images} images hold no box (background): training leaves them out"
