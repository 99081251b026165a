"""Objects and detections of one data set as flat arrays, in the orders of COCO's evaluation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.scaling import network_scale
from harness.stages.inputs import EvaluationInput, GroundTruth

MAX_DETECTIONS = 100  # of a class in an image, as in COCO's figures
_BLOCK = 2_000_000  # pairs looked at together, for the sake of memory

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Weights = NDArray[np.int32]  # (resamples, images): how often each image counts


@dataclass(frozen=True, eq=False)
class FlatObjects:
    """Ground truth, sorted by image and class; within those in the order of the file.

    Attributes:
        image: (g,) index into the ascending image ids.
        category: (g,) index into the categories.
        box: (g, 4) xywh.
        area: (g,) the field of that name, in square pixels of the original.
        crowd: (g,) whether it is a crowd region.
    """

    image: Ints
    category: Ints
    box: Floats
    area: Floats
    crowd: Bools


@dataclass(frozen=True, eq=False)
class FlatDetections:
    """The best of each class in each image (`Scene.limit`), by class, score (highest first), image.

    Attributes:
        image, category, box, area: (n,), as of `FlatObjects`; the area is that of the box.
        score: (n,).
        rank: (n,) place by score within its image and class, from 0.
    """

    image: Ints
    category: Ints
    box: Floats
    area: Floats
    score: Floats
    rank: Ints

    def above(self, score: float) -> "FlatDetections":
        """Those of at least this score; their ranks stay, as what is left out stood behind them."""
        kept = self.score >= score
        return FlatDetections(*(getattr(self, field.name)[kept] for field in fields(self)))

    @cached_property
    def place(self) -> Ints:
        """(n,) of each among those of all classes, by score (highest first), image."""
        order = np.lexsort((self.image, -self.score))
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        return place


@dataclass(frozen=True, eq=False)
class Scene:
    """All that there is to match.

    Attributes:
        images: how many.
        categories: how many.
        shrink: (images,) network pixels per pixel of the original, by area; None if unknown.
        limit: detections of a class that count in an image.
    """

    images: int
    categories: int
    objects: FlatObjects
    detections: FlatDetections
    shrink: Floats | None
    limit: int = MAX_DETECTIONS


def build_scene(
    given: EvaluationInput,
    resize: Mapping[str, Any] | None = None,
    limit: int = MAX_DETECTIONS,
) -> Scene:
    """Arrays of an input, whatever the order of its images.

    Args:
        resize: how images come into the network (`Resize.describe`).
        limit: detections of a class that count in an image, the best ones.
    """
    truth = given.ground_truth
    ids = sorted(truth.image_ids)
    images = {image: index for index, image in enumerate(ids)}
    categories = {category: index for index, category in enumerate(truth.categories)}
    return Scene(
        len(ids),
        len(categories),
        _objects(truth, images, categories),
        _detections(given.detections, images, categories, limit),
        _shrink(truth, images, resize),
        limit,
    )


def _objects(
    truth: GroundTruth, images: Mapping[int, int], categories: Mapping[int, int]
) -> FlatObjects:
    area = np.array([a["area"] for a in truth.annotations], float)
    crowd = np.array([a["iscrowd"] for a in truth.annotations], bool)
    return sort_objects(*_columns(truth.annotations, images, categories), area, crowd)


def sort_objects(
    image: Ints, category: Ints, box: Floats, area: Floats, crowd: Bools
) -> FlatObjects:
    """Arrays as of `FlatObjects`, but in the order of a file -> in its order."""
    order = np.lexsort((category, image))
    return FlatObjects(image[order], category[order], box[order], area[order], crowd[order])


def _detections(
    found: Sequence[Mapping[str, Any]],
    images: Mapping[int, int],
    categories: Mapping[int, int],
    limit: int,
) -> FlatDetections:
    score = np.fromiter(map(itemgetter("score"), found), np.float64, len(found))
    return sort_detections(*_columns(found, images, categories), score, limit)


def sort_detections(
    image: Ints, category: Ints, box: Floats, score: Floats, limit: int = MAX_DETECTIONS
) -> FlatDetections:
    """Arrays as of `FlatDetections`, but in the order of a file -> in its order, with ranks.

    Args:
        limit: detections of a class that count in an image, the best ones.
    """
    # stable sorts throughout: equal scores keep the order of the file, as in pycocotools
    within = np.lexsort((-score, category, image))
    rank = np.empty(len(score), np.int64)
    rank[within] = _count_within(image[within], category[within])
    order = np.lexsort((image, -score, category))
    order = order[rank[order] < limit]
    area = box[:, 2] * box[:, 3]
    return FlatDetections(
        image[order], category[order], box[order], area[order], score[order], rank[order]
    )


def _columns(
    entries: Sequence[Mapping[str, Any]],
    images: Mapping[int, int],
    categories: Mapping[int, int],
) -> tuple[Ints, Ints, Floats]:
    image = map(images.__getitem__, map(itemgetter("image_id"), entries))
    category = map(categories.__getitem__, map(itemgetter("category_id"), entries))
    sides = chain.from_iterable(map(itemgetter("bbox"), entries))
    return (
        np.fromiter(image, np.int64, len(entries)),
        np.fromiter(category, np.int64, len(entries)),
        np.fromiter(sides, np.float64, 4 * len(entries)).reshape(-1, 4),
    )


def in_blocks(first: Ints, count: Ints) -> Iterator[tuple[Ints, Ints]]:
    """(row, item) of all items of some rows, whole rows together, a block at a time.

    Args:
        first, count: (n,) row k has the items `first[k]` to `first[k] + count[k] - 1`.
    """
    some = np.flatnonzero(count)
    cuts = np.flatnonzero(np.diff(np.cumsum(count[some]) // _BLOCK)) + 1
    for block in np.split(some, cuts) if len(some) else ():
        number = count[block]
        ends = np.cumsum(number)
        item = np.arange(ends[-1]) - np.repeat(ends - number - first[block], number)
        yield np.repeat(block, number), item


def mark(items: Ints, count: int) -> Bools:
    """(count,) true for the items, of which -1 is none."""
    marked = np.zeros(count, bool)
    marked[items[items >= 0]] = True
    return marked


def _count_within(*keys: Ints) -> Ints:
    """0, 1, 2, ... within each stretch of equal keys."""
    changes = np.any([np.diff(key, prepend=-1) != 0 for key in keys], axis=0)
    starts = np.flatnonzero(changes)
    return np.arange(len(changes)) - np.repeat(starts, np.diff(starts, append=len(changes)))


def _shrink(
    truth: GroundTruth, images: Mapping[int, int], resize: Mapping[str, Any] | None
) -> Floats | None:
    if resize is None or not truth.image_sizes:
        return None
    shrink = np.empty(len(images))
    for image, (height, width) in zip(truth.image_ids, truth.image_sizes, strict=True):
        y, x = network_scale(resize, height, width)
        shrink[images[image]] = y * x
    return shrink
