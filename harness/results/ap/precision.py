"""AP and AR of one detector on resampled images: whole, by class, by size of object."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.manifest.schema import Report
from harness.plan.cells import digest
from harness.plugin.metrics import Scoring
from harness.results.ap.accumulate import (
    IOU_50,
    IOU_75,
    RECALL_POINTS,
    ClassFigures,
    mean_over_classes,
    measure_ap,
    measure_recall,
    precision_table,
)
from harness.results.ap.bootstrap import draw_weights
from harness.results.ap.boxes import Bools, Floats, Scene, Weights
from harness.results.ap.matching import Matches, find_pairs, match
from harness.results.ap.ranges import COCO_RANGES, AreaRange, bin_ranges
from harness.results.ap.types import Frame, Precision, Sampled, SizeBin
from harness.stages.inputs import GroundTruth


@dataclass(frozen=True, eq=False)
class _Scored:
    """A range of areas, matched and accumulated under all weights, those of 1 first."""

    matches: Matches
    figures: ClassFigures


def measure_precision(
    truth: GroundTruth,
    scene: Scene,
    settings: Report,
    metrics: Mapping[str, Scoring],
    seed: int = 0,
) -> Precision:
    """Every figure of AP and AR on all images and in each resample of them.

    Args:
        truth: of the images that were looked at.
        scene: the same with the detections (`build_scene`).
        settings: resamples, further ranges of areas (half-open, while COCO's own are closed)
            and bins of the curves.
        metrics: name -> what to compute for it; those that ask for what is not known here (an
            area range that there is not, another limit than `scene.limit`) are left out.
        seed: of the resamples.
    """
    whole, bins = _ranges(settings), _bins(settings, scene)
    ones = np.ones((1, scene.images), np.int32)
    weights = np.concatenate([ones, draw_weights(scene.images, settings.resamples, seed)])
    known = {
        name: scoring for name, scoring in metrics.items()
        if _is_known(scoring, whole, scene.limit)
    }  # fmt: skip
    areas = list(dict.fromkeys(["all", *(scoring.area for scoring in known.values())]))
    spans = [*(whole[area] for area in areas), *(area for part in bins.values() for area in part)]
    ious = {IOU_50, IOU_75, *(s.threshold for s in known.values() if s.threshold is not None)}
    scored = _score(scene, spans, weights, sorted(ious))
    named, rest = dict(zip(areas, scored, strict=False)), iter(scored[len(areas) :])
    return Precision(
        pairing=digest([sorted(truth.image_ids), truth.sha256, seed, settings.resamples]),
        metrics={
            name: _sample(scene, _figure(scene, named[scoring.area], scoring, weights),
                          named[scoring.area].matches.targets)
            for name, scoring in known.items()
        },
        classes=_classes(scene, list(truth.categories.values()), named["all"]),
        curves={
            frame: tuple(_size_bin(scene, area, next(rest)) for area in part)
            for frame, part in bins.items()
        },
        recall=tuple(RECALL_POINTS.tolist()),
        precision=_curves(scene, named["all"].matches),
    )  # fmt: skip


def _is_known(scoring: Scoring, ranges: Mapping[str, AreaRange], limit: int) -> bool:
    fits = scoring.limit <= limit if scoring.of == "recall" else scoring.limit == limit
    return fits and scoring.area in ranges


def _ranges(settings: Report) -> dict[str, AreaRange]:
    own = {name: AreaRange(low, high) for name, (low, high) in settings.area_ranges.items()}
    return {**COCO_RANGES, **own}


def _bins(settings: Report, scene: Scene) -> dict[Frame, list[AreaRange]]:
    frames: tuple[Frame, ...] = ("original",) if scene.shrink is None else ("original", "network")
    return {frame: bin_ranges(settings.size_bins, frame) for frame in frames}


def _score(
    scene: Scene, spans: list[AreaRange], weights: Weights, thresholds: list[int]
) -> list[_Scored]:
    pairs = find_pairs(scene)
    matches = [match(scene, pairs, area) for area in spans]
    figures = measure_ap(scene, matches, weights, thresholds)
    return [_Scored(*both) for both in zip(matches, figures, strict=True)]


def _figure(scene: Scene, scored: _Scored, scoring: Scoring, weights: Weights) -> Floats:
    """(1 + resamples,) values of one metric."""
    if scoring.of == "recall":
        return mean_over_classes(measure_recall(scene, scored.matches, weights, scoring.limit))
    figures = scored.figures
    chosen = figures.mean if scoring.threshold is None else figures.at[scoring.threshold]
    return mean_over_classes(chosen)


def _sample(scene: Scene, values: Floats, targets: Bools) -> Sampled:
    """Of values under all weights, those of 1 first."""
    # objects are in the order of images
    images = int(np.count_nonzero(np.diff(scene.objects.image[targets], prepend=-1)))
    return Sampled(float(values[0]), np.ascontiguousarray(values[1:]), int(targets.sum()), images)


def _classes(scene: Scene, names: list[str], scored: _Scored) -> dict[str, Sampled]:
    targets, category = scored.matches.targets, scene.objects.category
    return {
        name: _sample(scene, scored.figures.mean[:, index], targets & (category == index))
        for index, name in enumerate(names)
    }


def _size_bin(scene: Scene, area: AreaRange, scored: _Scored) -> SizeBin:
    targets = scored.matches.targets
    ap, ap50 = (
        _sample(scene, mean_over_classes(values), targets)
        for values in (scored.figures.mean, scored.figures.at[IOU_50])
    )
    return SizeBin(float(np.sqrt(area.low)), float(np.sqrt(area.high)), ap, ap50)


def _curves(scene: Scene, found: Matches) -> dict[str, tuple[float, ...]]:
    table = mean_over_classes(precision_table(scene, found))
    curves = {"0.50": table[IOU_50], "0.75": table[IOU_75], "0.50:0.95": table.mean(axis=0)}
    return {name: tuple(values.tolist()) for name, values in curves.items()}
