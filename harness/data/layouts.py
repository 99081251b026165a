"""How data sets lie on disk, and how one is recognised. No torch here: a plan reads this.

Each is a `harness.plugin.Reader`, the shipped ones in `harness.data.shipped`. COCO files lie in
several ways, which are the rows of `COCO_LAYOUTS`.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.data.source import SplitName
from harness.data.splits import TESTED, Found, with_test_split
from harness.errors import UserError
from harness.plugin.declarations import Reader
from harness.plugin.manager import OWN, loaded_plugins
from harness.plugin.registry import Entry

ALIASES: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "train2017", "train2014", "training"),
    "val": ("val", "valid", "validation", "val2017", "val2014"),
}
# where there is a training split and none of these for evaluation
TEST_ALIASES = ("test", "test2017", "testing")
MOST_WITHIN = 50  # folders that are looked into for a set that was not given
PEEKED = 20  # file names by which the folder of images is chosen
FILE_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True)
class CocoPlaces:
    """Where COCO files lie, relative to the root; {split} is each of `ALIASES`.

    Attributes:
        layout: whose they are.
        annotations: the file.
        images: folders that its file names may be relative to; the one that holds them is taken.
    """

    layout: str
    annotations: str
    images: tuple[str, ...]

    def __call__(self, root: Path) -> tuple[Found, ...]:
        train, val = (self._split(root, name, aliases) for name, aliases in ALIASES.items())
        return with_test_split(train, val, lambda: self._split(root, "val", TEST_ALIASES))

    def _split(self, root: Path, name: SplitName, aliases: Iterable[str]) -> Found | None:
        for alias in aliases:
            path = root / self.annotations.format(split=alias)
            if path.is_file():
                folders = [root / folder.format(split=alias) for folder in self.images]
                images = folder_of_images(path, folders)
                if images is not None:
                    return Found(name, images, path, layout=self.layout)
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


COCO_LAYOUTS = (
    CocoPlaces(
        "annotations folder",
        "annotations/instances_{split}.json",
        ("{split}", "images/{split}", "images", "."),
    ),
    CocoPlaces("Roboflow", "{split}/_annotations.coco.json", ("{split}", ".")),
    CocoPlaces(
        "CVAT, a folder per split",
        "{split}/annotations/instances_default.json",
        ("{split}/images/default", "{split}/images", "{split}"),
    ),
    CocoPlaces(
        "Label Studio, a folder per split", "{split}/result.json", ("{split}", "{split}/images")
    ),
    CocoPlaces(
        "file per split",
        "annotations/{split}.json",
        ("{split}", "images/{split}", "images", "."),
    ),
    CocoPlaces("file per split", "{split}.json", ("{split}", "images/{split}", "images", ".")),
    CocoPlaces("folder per split", "{split}/annotations.json", ("{split}", "{split}/images", ".")),
)


def find_splits(root: Path) -> tuple[Found, ...]:
    """The splits of COCO files: of several layouts that fit, the one with more splits."""
    return max((places(root) for places in COCO_LAYOUTS), key=_wholeness)


def recognise(root: Path) -> tuple[str, tuple[Found, ...]]:
    """The layout of a folder and its splits; of several that fit, the one with more splits.

    Of as many, one with a validation split goes before one with a test split in its place. A
    layout whose files are broken gives a note if another one fits.

    Raises:
        UserError: none is recognised, with all that was looked for; there is only one annotation
            file; or the files that say where the splits are (data.yaml, ImageSets) are broken.
    """
    if not root.is_dir():
        mistake = "is not a folder" if root.exists() else "does not exist"
        start = "" if root.is_absolute() else f", from {Path.cwd()}"
        hint = f"needs the folder of a data set{start}; --data ROOT names another"
        raise UserError(mistake, where=root, hint=hint)
    name, found, broken = _best(root)
    if found:
        notes = tuple(f"not read as {title}: {error}" for title, error in broken.items())
        return name, tuple(replace(one, notes=(*one.notes, *notes)) for one in found)
    raise next(iter(broken.values()), None) or _unrecognised(root)


def _best(root: Path) -> tuple[str, tuple[Found, ...], dict[str, UserError]]:
    """The layout that fits best, its splits, and what is broken of others by title."""
    name, best, broken = "", tuple[Found, ...](), dict[str, UserError]()
    for entry in _readers():
        reader = entry.declaration
        assert isinstance(reader, Reader)
        try:
            found = tuple(reader.load()(root))
        except UserError as error:
            broken[reader.title or reader.name] = error
            continue
        if _wholeness(found) > _wholeness(best):
            variant = f" ({found[0].layout})" if found[0].layout else ""
            own = "" if entry.provider == OWN else str(entry.provider)
            best = tuple(replace(one, reader=own) for one in found)
            name = f"{reader.title or reader.name}{variant}"
    return name, best, broken


def _nearby(root: Path) -> Path | None:
    """The folder above, or the first within, that is a set of two splits."""
    within = sorted(filter(os.path.isdir, root.iterdir()))[:MOST_WITHIN]
    return next(filter(_has_splits, (root.resolve().parent, *within)), None)


def _has_splits(folder: Path) -> bool:
    try:
        return len(_best(folder)[1]) > 1
    except OSError:  # another user's folder
        return False


def _readers() -> list[Entry]:
    """In the order in which plugins declare them, the shipped ones first."""
    registry = loaded_plugins()
    return [registry.get("reader", name) for name in registry.names("reader")]


def _wholeness(found: tuple[Found, ...]) -> tuple[int, bool]:
    """To choose by: how many splits, and whether one is for validation rather than a test."""
    return len(found), all(TESTED not in split.notes for split in found)


def _unrecognised(root: Path) -> UserError:
    near = _nearby(root)
    if near is not None:
        hint = f"but {near} is a data set of several splits: give that folder"
        return UserError("is not the folder of a data set", where=root, hint=hint)
    alone = next(_coco_files(root), None)
    if alone is not None:
        name = alone.relative_to(root)
        return UserError(
            f"has only one split: {name} does not say which images are for training",
            where=root,
            hint="export train and val apart, as annotations/instances_train.json and "
            "annotations/instances_val.json; or name a file for each under data.params",
        )
    said = (getattr(entry.declaration, "looked_for", "") for entry in _readers())
    looked_for = "; ".join(filter(None, said))
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
