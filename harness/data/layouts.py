"""How data sets lie on disk, and how one is recognised. No torch here: a plan reads this.

A layout whose labels are COCO files is a row of `COCO_LAYOUTS`; `harness.data.yolo` and
`harness.data.voc` find the splits of the others and convert them.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.data import voc, yolo
from harness.data.source import SplitName
from harness.data.splits import TESTED, Found
from harness.errors import UserError

ALIASES: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "train2017", "train2014", "training"),
    "val": ("val", "valid", "validation", "val2017", "val2014"),
}
# where there is a training split and none of these for evaluation
TEST_ALIASES = ("test", "test2017", "testing")
PEEKED = 20  # file names by which the folder of images is chosen
FILE_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True)
class Layout:
    """A layout.

    Attributes:
        name: what `harness doctor` calls it.
        looked_for: what it is recognised by, as an error lists it.
        find: the root -> its splits; none where the root is not of this layout.
    """

    name: str
    looked_for: str
    find: Callable[[Path], tuple[Found, ...]]


@dataclass(frozen=True)
class CocoPlaces:
    """Where COCO files lie, relative to the root; {split} is each of `ALIASES`.

    Attributes:
        annotations: the file.
        images: folders that its file names may be relative to; the one that holds them is taken.
    """

    annotations: str
    images: tuple[str, ...]

    def __call__(self, root: Path) -> tuple[Found, ...]:
        train, val = (self._split(root, name, aliases) for name, aliases in ALIASES.items())
        if train is not None and val is None:
            val = self._split(root, "val", TEST_ALIASES)
            val = val and replace(val, notes=(TESTED,))
        return tuple(split for split in (train, val) if split is not None)

    def _split(self, root: Path, name: SplitName, aliases: Iterable[str]) -> Found | None:
        for alias in aliases:
            path = root / self.annotations.format(split=alias)
            if path.is_file():
                folders = [root / folder.format(split=alias) for folder in self.images]
                images = folder_of_images(path, folders)
                if images is not None:
                    return Found(name, images, path)
        return None


def folder_of_images(path: Path, folders: list[Path]) -> Path | None:
    """The folder that holds the most of the first images that a COCO file names."""
    names = _first_names(path)
    there = [folder for folder in folders if folder.is_dir()]
    return max(there, key=lambda f: sum(_exists(f / n) for n in names), default=None)


def _first_names(path: Path) -> list[str]:
    try:
        found = FILE_NAME.finditer(path.read_bytes())
    except OSError:
        return []
    names = []
    for match, _ in zip(found, range(PEEKED), strict=False):
        try:
            names.append(str(json.loads(match[1])).replace("\\", "/"))
        except ValueError:
            continue
    return names


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or not a name
        return False


def _coco(name: str, annotations: str, *images: str) -> Layout:
    return Layout(f"COCO ({name})", annotations, CocoPlaces(annotations, images))


COCO_LAYOUTS = (
    _coco(
        "annotations folder",
        "annotations/instances_{split}.json",
        "{split}",
        "images/{split}",
        "images",
        ".",
    ),
    _coco("Roboflow", "{split}/_annotations.coco.json", "{split}", "."),
    _coco(
        "CVAT, a folder per split",
        "{split}/annotations/instances_default.json",
        "{split}/images/default",
        "{split}/images",
        "{split}",
    ),
    _coco("Label Studio, a folder per split", "{split}/result.json", "{split}", "{split}/images"),
    _coco("file per split", "annotations/{split}.json", "{split}", "images/{split}", "images", "."),
    _coco("file per split", "{split}.json", "{split}", "images/{split}", "images", "."),
    _coco("folder per split", "{split}/annotations.json", "{split}", "{split}/images", "."),
)
LAYOUTS = (
    *COCO_LAYOUTS,
    Layout("YOLO", "data.yaml with train, val and names", yolo.find_splits),
    Layout(
        "Pascal VOC",
        "Annotations/*.xml (here, or in VOCdevkit/VOC2007 and the like) with ImageSets/Main/*.txt",
        voc.find_splits,
    ),
)


def recognise(root: Path) -> tuple[Layout, tuple[Found, ...]]:
    """The layout of a folder and its splits; of several that fit, the one with more splits.

    Of as many, one with a validation split goes before one with a test split in its place.

    Raises:
        UserError: none is recognised, with all that was looked for; there is only one annotation
            file; or the files that say where the splits are (data.yaml, ImageSets) are broken.
    """
    if not root.is_dir():
        raise UserError("is not a folder", where=root, hint="needs the folder of a data set")
    best: tuple[Layout, tuple[Found, ...]] | None = None
    for layout in LAYOUTS:
        found = layout.find(root)
        if found and (best is None or _wholeness(found) > _wholeness(best[1])):
            best = layout, found
    if best is not None:
        return best
    raise _unrecognised(root)


def _wholeness(found: tuple[Found, ...]) -> tuple[int, bool]:
    return len(found), all(TESTED not in split.notes for split in found)


def _unrecognised(root: Path) -> UserError:
    alone = next(_coco_files(root), None)
    if alone is not None:
        name = alone.relative_to(root)
        return UserError(
            f"has only one split: {name} does not say which images are for training",
            where=root,
            hint="export train and val apart, as annotations/instances_train.json and "
            "annotations/instances_val.json; or name a file for each under data.params",
        )
    looked_for = "; ".join(dict.fromkeys(layout.looked_for for layout in LAYOUTS))
    return UserError(
        "has no data set in a known layout",
        where=root,
        hint=f"looked for, with train or val as {{split}}: {looked_for}",
    )


def _coco_files(root: Path) -> Iterator[Path]:
    """Files of a whole set: CVAT's, Label Studio's, or any that looks like COCO's."""
    for path in (*sorted((root / "annotations").glob("*.json")), *sorted(root.glob("*.json"))):
        document: Any = None
        try:
            document = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(document, dict) and {"images", "annotations"} <= set(document):
            yield path
