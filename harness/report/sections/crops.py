"""Small objects that a detector misses, in the image's own pixels, and what it did there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from harness.report.page import show
from harness.report.sections.gallery import box_path, first_seeds, scene_of
from harness.report.thumbnails import Thumbnail, encode, open_upright
from harness.results.ap.boxes import Scene
from harness.results.ap.matching import measure_iou
from harness.results.ap.misses import SCORE_THRESHOLD, SMALL_AREA, match_sure
from harness.results.ap.tide import BACKGROUND_IOU, FOREGROUND_IOU
from harness.results.run import Run
from harness.stages.inputs import GroundTruth

MOST, MOST_IN_ALL = 12, 60  # crops of a detector, and of all detectors together
IMAGES = 24  # of a detector, those with its most missed small objects
AROUND = 3.0  # side of a crop, of the object's longer side
SIDES = (48, 200)  # least and most pixels of a crop's side
QUALITY = 85  # of JPEG
KINDS = {
    "unsure": "found, but not surely enough",
    "misplaced": "box misplaced",
    "confused": "taken for another class",
    "nothing": "nothing found",
}


@dataclass(frozen=True)
class Miss:
    """What one detector did about an object that it missed.

    Attributes:
        kind: of `KINDS`.
        why: in words.
        detections: SVG path data of its detections around.
    """

    kind: str
    why: str
    detections: str


@dataclass(frozen=True)
class Crop:
    """A missed small object and what is around it.

    Attributes:
        label: its class.
        side: square root of its area, pixels.
        window: (left, top, width, height) in pixels of the image.
        truth, others: SVG path data of its box, and of the other objects'.
        misses: one per detector, in the order of `Crops.detectors`; None where it was found.
    """

    file_name: str
    label: str
    side: float
    window: tuple[int, int, int, int]
    thumbnail: Thumbnail
    truth: str
    others: str
    misses: tuple[Miss | None, ...]


@dataclass(frozen=True)
class Crops:
    """What the section shows.

    Attributes:
        detectors: (name, missed small objects in all validation images, as `misses` counts them).
    """

    detectors: tuple[tuple[str, int], ...]
    crops: tuple[Crop, ...]

    @property
    def labels(self) -> list[str]:
        return sorted({crop.label for crop in self.crops})


@dataclass(frozen=True, eq=False)
class _Found:
    """A detector on the chosen images; objects have the same indices for every detector."""

    scene: Scene
    missed: NDArray[np.bool_]


def build(run: Run) -> Markup | None:
    """None where data or detections are gone, or no small object was missed."""
    found = crops(run)
    if found is None or not found.crops:
        return None
    return show("crops.html", run, crops=found, kinds=KINDS, threshold=SCORE_THRESHOLD)


def crops(run: Run) -> Crops | None:
    """Of each detector some missed small objects, first those that most others found."""
    truth, places = run.truth, first_seeds(run)
    if truth is None or run.images is None or run.annotations is None or not places:
        return None
    chosen = sorted({image for place in places for image in _worst_images(run, place)})
    found = [_find(run, truth, place, chosen) for place in places]
    if not chosen:
        return Crops((), ())
    finders = np.sum([~one.missed for one in found], axis=0)
    most = max(3, min(MOST, MOST_IN_ALL // len(places)))
    picked: dict[int, None] = {}
    for one in found:
        small = np.flatnonzero(one.missed)
        first = np.argsort(-finders[small], kind="stable")
        picked |= dict.fromkeys(int(item) for item in small[first][:most])
    counts = [sum(entry.small for entry in run.analyses[place].misses) for place in places]
    order = sorted(picked, key=lambda item: (-finders[item], item))
    shown = _draw(run.images, truth, found, chosen, order)
    titles = zip((name for name, _ in places), counts, strict=True)
    return Crops(tuple(titles), tuple(shown))


def _worst_images(run: Run, place: tuple[str, int]) -> list[int]:
    missing = [entry for entry in run.analyses[place].misses if entry.small]
    return [e.image_id for e in sorted(missing, key=lambda e: (-e.small, e.image_id))[:IMAGES]]


def _find(run: Run, truth: GroundTruth, place: tuple[str, int], chosen: Sequence[int]) -> _Found:
    scene = scene_of(run, truth, place, chosen)
    _, _, found = match_sure(scene)
    objects = scene.objects
    return _Found(scene, ~objects.crowd & ~found & (objects.area < SMALL_AREA))


def _draw(
    images: Path,
    truth: GroundTruth,
    found: Sequence[_Found],
    chosen: Sequence[int],
    picked: Sequence[int],
) -> list[Crop]:
    objects = found[0].scene.objects
    categories = [truth.categories[key] for key in sorted(truth.categories)]
    names = dict(zip(truth.image_ids, truth.file_names, strict=True))
    sizes = dict(zip(truth.image_ids, truth.image_sizes, strict=True))
    opened: dict[int, Image.Image | str] = {}
    made = []
    for item in picked:
        image = chosen[int(objects.image[item])]
        if image not in opened:
            opened = {image: open_upright(images / names[image], sizes[image])}  # one at a time
        around = objects.image == objects.image[item]
        around[item] = False
        window = window_around(objects.box[item], sizes[image])
        made.append(
            Crop(
                names[image],
                categories[objects.category[item]],
                float(np.sqrt(objects.area[item])),
                window,
                _cut(opened[image], window),
                box_path([objects.box[item].tolist()]),
                box_path(objects.box[around & ~objects.crowd].tolist()),
                tuple(_miss(one, item, categories) if one.missed[item] else None for one in found),
            )
        )
    return made


def window_around(box: NDArray[np.float64], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A square around xywh, or what of it fits into an image of (height, width)."""
    x, y, w, h = box.tolist()
    side = round(min(max(AROUND * max(w, h), SIDES[0]), SIDES[1]))
    height, width = min(side, size[0]), min(side, size[1])
    left = min(max(round(x + w / 2 - width / 2), 0), size[1] - width)
    top = min(max(round(y + h / 2 - height / 2), 0), size[0] - height)
    return left, top, width, height


def _cut(image: Image.Image | str, window: tuple[int, int, int, int]) -> Thumbnail:
    if isinstance(image, str):
        return Thumbnail("", image)
    left, top, width, height = window
    return encode(image.crop((left, top, left + width, top + height)), QUALITY)


def _miss(one: _Found, item: int, categories: Sequence[str]) -> Miss:
    """Kinds in TIDE's order of preference, the detection that is only too unsure before them."""
    objects, detections = one.scene.objects, one.scene.detections
    here = np.flatnonzero(detections.image == objects.image[item])
    iou = measure_iou(detections.box[here], objects.box[[item]], objects.crowd[[item]])
    own = detections.category[here] == objects.category[item]
    score = detections.score[here]
    sure = score >= SCORE_THRESHOLD
    drawn = box_path(detections.box[here[sure]].tolist())

    def best(which: NDArray[np.bool_], by: NDArray[np.float64]) -> int | None:
        return int(np.argmax(np.where(which, by, -1.0))) if which.any() else None

    if (n := best(own & ~sure & (iou >= FOREGROUND_IOU), score)) is not None:
        return Miss("unsure", f"found with a score of {score[n]:.2f} only", drawn)
    if (n := best(own & sure & (iou >= BACKGROUND_IOU), iou)) is not None:
        if iou[n] >= FOREGROUND_IOU:
            return Miss("misplaced", "one box for it and a neighbour", drawn)
        return Miss("misplaced", f"box misplaced: IoU {iou[n]:.2f}, score {score[n]:.2f}", drawn)
    if (n := best(~own & sure & (iou >= FOREGROUND_IOU), score)) is not None:
        other = categories[detections.category[here[n]]]
        return Miss("confused", f"taken for {other}, score {score[n]:.2f}", drawn)
    return Miss("nothing", "nothing found", drawn)
