"""Finds what a valid annotation file probably means otherwise than it says. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.data.faults import FaultKind

Floats = NDArray[np.float64]
MOSTLY = 0.5  # share of boxes or images from which on a file as a whole is suspected
CROWDED = 100  # objects; COCO's AP counts as many detections of an image


@dataclass(frozen=True)
class Suspicion:
    """A line with a way out, and the positions of the boxes that it is about."""

    kind: FaultKind
    line: str
    rows: Sequence[int]


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
) -> list[Suspicion]:
    """What is suspected, with a way out.

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
    found = [_corners(boxes, sizes), _fractions(boxes), _large_areas(boxes, areas)]
    found += [_twice(boxes, owners, kinds), _crowded(owners), _background(owners, images)]
    return [one for one in found if one is not None]


def _corners(boxes: Floats, sizes: Floats) -> Suspicion | None:
    """Corners have x2 > x1 and y2 > y1 inside the image, and reach out of it as xywh."""
    inside = ((boxes[:, 2:] > boxes[:, :2]) & (boxes[:, 2:] <= sizes + 1)).all(1)
    outside = (boxes[:, :2] + boxes[:, 2:] > sizes + 1).any(1)
    if not (inside.all() and outside.mean() >= MOSTLY / 2):
        return None
    line = (
        f"all {len(boxes)} boxes can be corners x1, y1, x2, y2, and {int(outside.sum())} reach out "
        "of their image as x, y, width, height: convert them with width = x2 - x1, height = y2 - y1"
    )
    return Suspicion("corners", line, np.flatnonzero(outside).tolist())


def _fractions(boxes: Floats) -> Suspicion | None:
    if not (boxes <= 1).all() or not (boxes[:, 2:] > 0).any():
        return None
    line = (
        f"all {len(boxes)} boxes lie between 0 and 1, so they are fractions of the image: multiply "
        "x and width by the image's width, y and height by its height"
    )
    return Suspicion("fractions", line, range(len(boxes)))


def _large_areas(boxes: Floats, areas: Floats) -> Suspicion | None:
    larger = np.flatnonzero(areas > boxes[:, 2] * boxes[:, 3] * 1.01 + 1)
    if not len(larger):
        return None
    line = f"{len(larger)} annotations have an area larger than their box, which no mask has"
    return Suspicion("large_area", line, larger.tolist())


def _twice(boxes: Floats, owners: NDArray[np.int64], kinds: NDArray[np.int64]) -> Suspicion | None:
    rows = np.column_stack([owners, kinds, boxes])
    order = np.lexsort(rows.T)
    again = order[1:][(rows[order[1:]] == rows[order[:-1]]).all(1)]
    if not len(again):
        return None
    line = (
        f"{len(again)} boxes occur more than once (same image, class and box): perfect detections "
        "then miss the copies; remove them"
    )
    return Suspicion("twice", line, sorted(again.tolist()))


def _crowded(owners: NDArray[np.int64]) -> Suspicion | None:
    counts = np.bincount(owners)
    crowded = int((counts > CROWDED).sum())
    if not crowded:
        return None
    holding = "1 image holds" if crowded == 1 else f"{crowded} images hold"
    line = (
        f"{holding} more than {CROWDED} objects (up to {counts.max()}): AP counts the "
        f"best {CROWDED} detections of a class and image unless --max-detections is higher"
    )
    return Suspicion("other_note", line, ())


def _background(owners: NDArray[np.int64], images: int) -> Suspicion | None:
    empty = images - len(np.unique(owners))
    if empty < MOSTLY * images:
        return None
    line = f"{empty} of {images} images hold no box (background)"
    return Suspicion("other_note", line, ())
