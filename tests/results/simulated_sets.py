"""Simulated validation sets: images that differ in difficulty, detectors that err."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.results.ap.boxes import (
    FlatDetections,
    FlatObjects,
    Scene,
    sort_detections,
    sort_objects,
)
from harness.stages.inputs import EvaluationInput, GroundTruth

SIDE, CELL = 640, 160  # objects lie in cells of their own, so that they never overlap


@dataclass(frozen=True)
class Process:
    """Where sets come from.

    Attributes:
        objects: mean number in an image; images differ (negative binomial).
        difficulty: standard deviation, over images, of the log odds that an object is found.
        skill: log odds that an object of an easy image is found.
        jitter: standard deviation of a detection's corners, as a share of the object's side.
        false_alarms: mean number in an image; images differ.
    """

    classes: int = 2
    objects: float = 4.0
    difficulty: float = 1.0
    skill: float = 1.0
    jitter: float = 0.08
    false_alarms: float = 3.0

    def draw(self, images: int, seed: int) -> EvaluationInput:
        """One set with one detector's detections, as files have them."""
        (scene,) = self.draw_scenes(images, seed)
        objects, found = scene.objects, scene.detections
        truth = GroundTruth(
            tuple(range(images)),
            {c: f"class {c}" for c in range(self.classes)},
            tuple(_entries(objects, area=objects.area, iscrowd=objects.crowd.astype(int))),
            "simulated",
            ((SIDE, SIDE),) * images,
        )
        return EvaluationInput(truth, tuple(_entries(found, score=found.score)))

    def draw_scenes(
        self, images: int, seed: int, detectors: int = 1, gain: float = 0.0
    ) -> list[Scene]:
        """One set with the detections of several detectors that find the same images hard.

        Args:
            gain: by how much the skill of each detector surpasses that of the one before.
        """
        rng = np.random.default_rng(seed)
        shape = 2.0
        counts = rng.negative_binomial(shape, shape / (shape + self.objects), images)
        counts = np.minimum(counts, (SIDE // CELL) ** 2)
        image = np.repeat(np.arange(images), counts)
        box = self._draw_boxes(rng, counts)
        category = rng.integers(0, self.classes, len(image))
        hard = rng.normal(0, self.difficulty, images)
        area, crowd = box[:, 2] * box[:, 3], np.zeros(len(image), bool)
        objects = sort_objects(image, category, box, area, crowd)
        found = [self._detect(rng, image, category, box, hard, n * gain) for n in range(detectors)]
        return [Scene(images, self.classes, objects, one, None) for one in found]

    def _draw_boxes(self, rng: np.random.Generator, counts: NDArray) -> NDArray:
        cells = rng.permuted(np.tile(np.arange((SIDE // CELL) ** 2), (len(counts), 1)), axis=1)
        place = cells[np.arange(cells.shape[1]) < counts[:, None]]
        corner = np.stack([place % (SIDE // CELL), place // (SIDE // CELL)], axis=1) * CELL
        side = np.exp(rng.uniform(np.log(12), np.log(120), (len(place), 1)))
        sides = side * np.exp(rng.normal(0, 0.2, (len(place), 2)))
        sides = np.minimum(sides, CELL - 8)
        return np.concatenate([corner + rng.uniform(0, CELL - sides), sides], axis=1)

    def _detect(
        self,
        rng: np.random.Generator,
        image: NDArray,
        category: NDArray,
        box: NDArray,
        hard: NDArray,
        gain: float,
    ) -> FlatDetections:
        odds = self.skill + gain + 0.7 * np.log(box[:, 2] / 40) - hard[image]
        found = rng.random(len(image)) < 1 / (1 + np.exp(-odds))
        noise = rng.normal(0, self.jitter, (int(found.sum()), 4))
        noise *= np.exp(0.3 * hard[image[found], None])
        moved = box[found].copy()
        moved[:, :2] += noise[:, :2] * moved[:, 2:]
        moved[:, 2:] *= np.exp(noise[:, 2:])
        score = odds[found] + rng.normal(0, 1, len(moved))
        mistaken = rng.random(len(moved)) < 0.05
        seen = np.where(mistaken, rng.integers(0, self.classes, len(moved)), category[found])
        alarms = rng.poisson(self.false_alarms * np.exp(0.5 * hard - 0.125 * self.difficulty**2))
        where = np.repeat(np.arange(len(hard)), alarms)
        stray = self._draw_boxes(rng, np.minimum(alarms, 16))
        where = np.repeat(np.arange(len(hard)), np.minimum(alarms, 16))
        return sort_detections(
            np.concatenate([image[found], where]),
            np.concatenate([seen, rng.integers(0, self.classes, len(where))]),
            np.concatenate([moved, stray]),
            np.concatenate([score, rng.normal(-1, 1, len(where))]),
        )


def _entries(boxes: FlatObjects | FlatDetections, **more: NDArray) -> Iterator[dict[str, Any]]:
    """As in COCO's files."""
    columns = {"image_id": boxes.image, "category_id": boxes.category, "bbox": boxes.box, **more}
    for row in zip(*(column.tolist() for column in columns.values()), strict=True):
        yield dict(zip(columns, row, strict=True))
