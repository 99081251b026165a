"""AP and AR of one detector with intervals: whole, by class, by size of object."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.manifest.schema import Report
from harness.plan.cells import digest
from harness.results.ap.accumulate import (
    IOU_50,
    IOU_75,
    RECALL_POINTS,
    ClassFigures,
    Weights,
    mean_over_classes,
    measure_ap,
    measure_recall,
    precision_table,
)
from harness.results.ap.bootstrap import draw_weights, find_interval
from harness.results.ap.boxes import Bools, Floats, Scene, build_scene
from harness.results.ap.matching import Matches, find_pairs, match
from harness.results.ap.ranges import COCO_RANGES, AreaRange, bin_ranges
from harness.results.ap.types import Estimate, Frame, Precision, SizeBin
from harness.stages.inputs import EvaluationInput

RECALL_LIMITS = (1, 10, 100)


@dataclass(frozen=True, eq=False)
class _Scored:
    """A range of areas, matched and accumulated under all weights, those of 1 first."""

    matches: Matches
    figures: ClassFigures


def measure_precision(
    given: EvaluationInput,
    resize: Mapping[str, Any] | None,
    settings: Report,
    seed: int = 0,
) -> Precision:
    """Every figure of AP and AR with its 95 % interval over images.

    Args:
        given: detections and the ground truth of the images they were looked for in.
        resize: how images come into the network (`Resize.describe`); None where unknown: then
            there is no curve over sizes at the network's input.
        settings: resamples, further ranges of areas (half-open, while COCO's own are closed)
            and bins of the curves.
        seed: of the resamples.
    """
    scene = build_scene(given, resize)
    whole, bins = _ranges(settings), _bins(settings, scene)
    ones = np.ones((1, scene.images), np.int32)
    weights = np.concatenate([ones, _draw(scene, settings.resamples, seed)])
    spans = [*whole.values(), *(area for part in bins.values() for area in part)]
    scored = _score(scene, spans, weights)
    named = dict(zip(whole, scored, strict=False))
    samples = _metrics(scene, named, weights)
    rest = iter(scored[len(whole) :])
    truth = given.ground_truth
    return Precision(
        pairing=digest([sorted(truth.image_ids), truth.sha256, seed, settings.resamples]),
        images=scene.images,
        resamples=settings.resamples,
        metrics={metric: _estimate(scene, *sample) for metric, sample in samples.items()},
        replicates={metric: tuple(values[1:].tolist()) for metric, (values, _) in samples.items()},
        classes=_classes(scene, list(truth.categories.values()), named["all"]),
        curves={
            frame: tuple(_size_bin(scene, area, next(rest)) for area in part)
            for frame, part in bins.items()
        },
        recall=tuple(RECALL_POINTS.tolist()),
        precision=_curves(scene, named["all"].matches),
    )


def _ranges(settings: Report) -> dict[str, AreaRange]:
    own = {name: AreaRange(low, high) for name, (low, high) in settings.area_ranges.items()}
    return {**COCO_RANGES, **own}


def _bins(settings: Report, scene: Scene) -> dict[Frame, list[AreaRange]]:
    frames: tuple[Frame, ...] = ("original",) if scene.shrink is None else ("original", "network")
    return {frame: bin_ranges(settings.size_bins, frame) for frame in frames}


def _draw(scene: Scene, resamples: int, seed: int) -> Weights:
    if scene.images == 0:
        return np.zeros((resamples, 0), np.int32)
    return draw_weights(scene.images, resamples, seed)


def _score(scene: Scene, spans: list[AreaRange], weights: Weights) -> list[_Scored]:
    pairs = find_pairs(scene)
    matches = [match(scene, pairs, area) for area in spans]
    figures = measure_ap(scene, matches, weights, workers=min(8, os.cpu_count() or 1))
    return [_Scored(*both) for both in zip(matches, figures, strict=True)]


def _metrics(
    scene: Scene, named: Mapping[str, _Scored], weights: Weights
) -> dict[str, tuple[Floats, Bools]]:
    """Metric -> its value under each weights, and the objects behind it."""
    figures, wanted = named["all"].figures, named["all"].matches.wanted
    found = {"ap": figures.ap, "ap50": figures.ap50, "ap75": figures.ap75}
    result = {metric: (mean_over_classes(values), wanted) for metric, values in found.items()}
    for name, scored in named.items():
        if name != "all":
            result[f"ap_{name}"] = mean_over_classes(scored.figures.ap), scored.matches.wanted
    for limit in RECALL_LIMITS:
        recall = measure_recall(scene, named["all"].matches, weights, limit)
        result[f"ar_{limit}"] = mean_over_classes(recall), wanted
    for name in ("small", "medium", "large"):
        recall = measure_recall(scene, named[name].matches, weights)
        result[f"ar_{name}"] = mean_over_classes(recall), named[name].matches.wanted
    return result


def _estimate(scene: Scene, values: Floats, wanted: Bools) -> Estimate:
    """Of values under all weights, those of 1 first."""
    # objects stand in the order of images
    images = int(np.count_nonzero(np.diff(scene.objects.image[wanted], prepend=-1)))
    low, high = find_interval(float(values[0]), values[1:], images)
    low, high = float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1))
    return Estimate(float(values[0]), low, high, int(wanted.sum()), images)


def _classes(scene: Scene, names: list[str], scored: _Scored) -> dict[str, Estimate]:
    wanted, category = scored.matches.wanted, scene.objects.category
    return {
        name: _estimate(scene, scored.figures.ap[:, index], wanted & (category == index))
        for index, name in enumerate(names)
    }


def _size_bin(scene: Scene, area: AreaRange, scored: _Scored) -> SizeBin:
    wanted = scored.matches.wanted
    ap, ap50 = (
        _estimate(scene, mean_over_classes(values), wanted)
        for values in (scored.figures.ap, scored.figures.ap50)
    )
    return SizeBin(float(np.sqrt(area.low)), float(np.sqrt(area.high)), ap, ap50)


def _curves(scene: Scene, found: Matches) -> dict[str, tuple[float, ...]]:
    table = mean_over_classes(precision_table(scene, found))
    curves = {"0.50": table[IOU_50], "0.75": table[IOU_75], "0.50:0.95": table.mean(axis=0)}
    return {name: tuple(values.tolist()) for name, values in curves.items()}
