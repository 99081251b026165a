"""Images of a run with what is there and what was found, worst misses of small objects first."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from harness.report.page import show
from harness.report.thumbnails import Thumbnail, shrink_images
from harness.results.ap.boxes import Scene, build_scene
from harness.results.ap.misses import SCORE_THRESHOLD, SMALL_AREA, match_sure
from harness.results.run import Run
from harness.stages.inputs import EvaluationInput, GroundTruth
from harness.stages.scoring import restrict

DEFAULT = 12
KINDS = {
    "missed-small": "missed, small",
    "missed": "missed",
    "found": "found object",
    "true": "its detection",
    "false": "false detection",
}


@dataclass(frozen=True)
class Overlay:
    """What one detector did on one image.

    Attributes:
        paths: (kind of `KINDS`, SVG path data in pixels of the original image); none is empty.
        caption: counts in words.
    """

    paths: tuple[tuple[str, str], ...]
    caption: str


@dataclass(frozen=True)
class Picture:
    """One image.

    Attributes:
        size: (height, width) of the original.
        overlays: one per detector, in the order of `Gallery.detectors`.
    """

    file_name: str
    size: tuple[int, int]
    thumbnail: Thumbnail
    alt: str
    overlays: tuple[Overlay, ...]


@dataclass(frozen=True)
class Gallery:
    """What the section of images shows.

    Attributes:
        detectors: those with detections, each under its first seed.
    """

    detectors: tuple[str, ...]
    seeds: tuple[int, ...]
    pictures: tuple[Picture, ...]


def build(run: Run) -> Markup | None:
    """None where data or detections are gone."""
    found = gallery(run)
    if found is None:
        return None
    return show("gallery.html", run, gallery=found, kinds=KINDS, threshold=SCORE_THRESHOLD)


def gallery(run: Run) -> Gallery | None:
    """The images with most missed small objects; None where data or detections are gone."""
    truth, chosen, places = run.truth, choose_images(run), first_seeds(run)
    if truth is None or run.images is None or run.annotations is None:
        return None
    if not chosen or not places:
        return None
    found = [_draw(run, truth, *place, chosen) for place in places]
    names = dict(zip(truth.image_ids, truth.file_names, strict=True))
    sizes = dict(zip(truth.image_ids, truth.image_sizes, strict=True))
    paths = [run.images / names[image] for image in chosen]
    shown = shrink_images(paths, [sizes[image] for image in chosen])
    pictures = []
    for n, (image, thumbnail) in enumerate(zip(chosen, shown, strict=True)):
        alt, overlays = _describe(truth, image, names[image]), tuple(o[n] for o in found)
        pictures.append(Picture(names[image], sizes[image], thumbnail, alt, overlays))
    detectors, seeds = zip(*places, strict=True)
    return Gallery(detectors, seeds, tuple(pictures))


def choose_images(run: Run) -> list[int]:
    """Ids of the images with most missed small objects, then most missed, summed over detectors."""
    small: Counter[int] = Counter()
    missed: Counter[int] = Counter()
    for analysis in run.analyses.values():
        for entry in analysis.misses:
            small[entry.image_id] += entry.small
            missed[entry.image_id] += entry.missed
    most = int(run.plan.get("report", {}).get("gallery", DEFAULT))
    return sorted(missed, key=lambda image: (-small[image], -missed[image], image))[:most]


def box_path(boxes: Sequence[Sequence[float]]) -> str:
    """SVG path data of xywh boxes."""
    return "".join(f"M{x:.1f} {y:.1f}h{w:.1f}v{h:.1f}h{-w:.1f}z" for x, y, w, h in boxes)


def first_seeds(run: Run) -> list[tuple[str, int]]:
    """Each detector's first seed that was analysed and whose detections are still there."""
    first: dict[str, int] = {}
    for name, seed in sorted(run.analyses, key=lambda place: place[1]):
        if run.detections_file(name, seed).is_file():
            first.setdefault(name, seed)
    return [(name, first[name]) for name in run.detectors if name in first]


def _draw(
    run: Run, truth: GroundTruth, detector: str, seed: int, chosen: Sequence[int]
) -> list[Overlay]:
    """Overlays of one detector; boxes are matched as `find_misses` matches them."""
    scene = scene_of(run, truth, (detector, seed), chosen)
    sure, matched, found = match_sure(scene)
    objects, drawn = sure.objects, sure.detections
    there, small = ~objects.crowd, objects.area < SMALL_AREA
    index = {image: n for n, image in enumerate(sorted(chosen))}
    overlays = []
    for image in chosen:
        mine, ours = objects.image == index[image], drawn.image == index[image]
        boxes = {
            "found": objects.box[mine & there & found],
            "true": drawn.box[ours & (matched >= 0)],
            "false": drawn.box[ours & (matched < 0)],
            "missed": objects.box[mine & there & ~found & ~small],
            "missed-small": objects.box[mine & there & ~found & small],
        }
        small_here = int((mine & there & small).sum())
        overlays.append(_overlay(boxes, small_here))
    return overlays


def scene_of(run: Run, truth: GroundTruth, place: tuple[str, int], chosen: Sequence[int]) -> Scene:
    """The chosen images with all that a detector found in them."""
    # the analysis has checked every entry of this file
    entries = json.loads(run.detections_file(*place).read_bytes())
    ids = frozenset(chosen)
    kept = tuple(entry for entry in entries if entry["image_id"] in ids)
    return build_scene(restrict(EvaluationInput(truth, kept), chosen))


def _overlay(boxes: Mapping[str, NDArray[np.float64]], small: int) -> Overlay:
    count = {kind: len(found) for kind, found in boxes.items()}
    objects = count["found"] + count["missed"] + count["missed-small"]
    parts = [f"{count['found']} of {objects} found"]
    if small:
        parts.append(f"{count['missed-small']} of {small} small ones missed")
    parts.append(f"{count['false']} false")
    paths = tuple((kind, box_path(found.tolist())) for kind, found in boxes.items() if len(found))
    return Overlay(paths, ", ".join(parts))


def _describe(truth: GroundTruth, image: int, file_name: str) -> str:
    there = [a for a in truth.annotations if a["image_id"] == image and not a["iscrowd"]]
    counts = Counter(truth.categories[a["category_id"]] for a in there)
    words = ", ".join(f"{count} {name}" for name, count in counts.most_common(6))
    return f"{file_name}: {words or 'no objects'}"
