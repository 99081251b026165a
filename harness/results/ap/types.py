"""What an analysis of one detector under one seed finds. Plain values, so that JSON keeps them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

Frame = Literal["original", "network"]
ErrorName = Literal["classification", "localisation", "both", "duplicate", "background", "missed"]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval over images.

    Attributes:
        value: AP in 0..1; NaN without ground truth.
        low, high: NaN where no interval can be had.
        count: ground-truth boxes behind it, crowds not counted.
        images: that hold those boxes; what counts as observations, as objects of one image hang
            together.
    """

    value: float
    low: float
    high: float
    count: int
    images: int


@dataclass(frozen=True)
class SizeBin:
    """AP of the objects whose sqrt(area) lies in [low, high) pixels; `high` may be infinite."""

    low: float
    high: float
    ap: Estimate
    ap50: Estimate


@dataclass(frozen=True)
class ErrorKind:
    """One of the six kinds of TIDE (https://arxiv.org/abs/2008.08115, section 2.2).

    Attributes:
        count: detections with this error (for "missed": objects).
        cost: AP50 gained if this kind alone were mended, 0..1.
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
        small: of them, those of an area under 32 squared.
        objects, small_objects: all there are; crowds not counted.
    """

    image_id: int
    missed: int
    small: int
    objects: int
    small_objects: int


@dataclass(frozen=True)
class Precision:
    """AP and AR of one detector under one seed.

    Attributes:
        pairing: hash of images, annotations, seed and number of resamples: replicates of two
            analyses may be subtracted only where this is equal.
        metrics: metric ("ap", "ap50", "ap_small", "ar_100", ...) -> estimate; size ranges of the
            manifest as "ap_<range>".
        replicates: metric -> its value in each bootstrap resample of the images.
        classes: class name -> AP.
        curves: AP over object size, in pixels of the original and of the network's input.
        recall: the 101 recall points.
        precision: "0.50", "0.75", "0.50:0.95" -> precision at those points, mean over classes.
    """

    pairing: str
    images: int
    resamples: int
    metrics: Mapping[str, Estimate]
    replicates: Mapping[str, tuple[float, ...]]
    classes: Mapping[str, Estimate]
    curves: Mapping[Frame, tuple[SizeBin, ...]]
    recall: tuple[float, ...]
    precision: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class CellAnalysis(Precision):
    """Everything derived from the detections of one detector under one seed."""

    errors: tuple[ErrorKind, ...]
    misses: tuple[Misses, ...]

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_inf_nan="strings")
