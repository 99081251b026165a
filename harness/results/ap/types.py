"""What an analysis of one detector under one seed finds."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.results.ap.bootstrap import find_interval

Frame = Literal["original", "network"]
ErrorName = Literal["classification", "localisation", "both", "duplicate", "background", "missed"]


@dataclass(frozen=True, eq=False)
class Sampled:
    """A number in 0..1 with its value in each resample of the images.

    Attributes:
        value: NaN without ground truth.
        draws: (resamples,) NaN where a resample has no ground truth.
        count: ground-truth boxes behind it, crowds not counted.
        images: that hold those boxes; what counts as observations, as objects within an image are
            correlated.
    """

    value: float
    draws: NDArray[np.float64]
    count: int
    images: int

    @cached_property
    def unclipped(self) -> tuple[float, float]:
        """95 %, NaN twice where none can be had."""
        return find_interval(self.value, self.draws, self.images)

    @property
    def interval(self) -> tuple[float, float]:
        """The same of a score, which lies between 0 and 1."""
        low, high = np.clip(self.unclipped, 0, 1)
        return float(low), float(high)

    @property
    def low(self) -> float:
        return self.interval[0]

    @property
    def high(self) -> float:
        return self.interval[1]


@dataclass(frozen=True, eq=False)
class SizeBin:
    """AP of the objects whose sqrt(area) lies in [low, high) pixels; `high` may be infinite."""

    low: float
    high: float
    ap: Sampled
    ap50: Sampled


@dataclass(frozen=True)
class ErrorKind:
    """One of the six kinds of TIDE (https://arxiv.org/abs/2008.08115, section 2.2).

    Attributes:
        count: detections with this error (for "missed": objects).
        cost: AP50 gained if this kind alone were corrected, 0..1.
        by_size: size range -> (count, cost within that range).
    """

    name: ErrorName
    count: int
    cost: float
    by_size: Mapping[str, tuple[int, float]]


@dataclass(frozen=True)
class Misses:
    """Objects of one image that no detection of their class, scored 0.3 or more, covers.

    Covering means an IoU of 0.5 or more; a detection covers one object.

    Attributes:
        small: of them, those of an area under 32 squared; crowds not counted.
    """

    image_id: int
    missed: int
    small: int


@dataclass(frozen=True, eq=False)
class Precision:
    """AP and AR of one detector under one seed.

    Attributes:
        pairing: hash of images, annotations, seed and number of resamples: draws of two analyses
            may be subtracted only where this is equal.
        metrics: name of a metric that is scored by `harness.plugin.metrics.Scoring` -> its value.
        classes: class name -> AP.
        curves: AP over object size, in pixels of the original and of the network's input.
        recall: the 101 recall points.
        precision: "0.50", "0.75", "0.50:0.95" -> precision at those points, mean over classes.
    """

    pairing: str
    metrics: Mapping[str, Sampled]
    classes: Mapping[str, Sampled]
    curves: Mapping[Frame, tuple[SizeBin, ...]]
    recall: tuple[float, ...]
    precision: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, eq=False)
class CellAnalysis(Precision):
    """Everything derived from the detections of one detector under one seed."""

    errors: tuple[ErrorKind, ...]
    misses: tuple[Misses, ...]
