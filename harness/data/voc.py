"""Pascal VOC's format: an XML file for each image, and lists of the splits. No torch here.

Corners are 1-based and inclusive, as VOC defines them: x = xmin - 1, width = xmax - xmin + 1.
Classes are those of all listed images, sorted by name. COCO's AP knows no `difficult` objects:
they are kept as ordinary ones, and counted in a note.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from harness.data.faults import DataError, OnMistake
from harness.data.source import SplitName
from harness.data.splits import (
    SUFFIXES,
    TESTED,
    Document,
    Found,
    read_bytes,
    read_lines,
    shared_folder,
    upright_size,
)
from harness.errors import UserError

# the lists to train and to evaluate on, in order of preference
PAIRS = (("train", "val"), ("trainval", "test"), ("train", "test"))


def find_splits(root: Path) -> tuple[Found, ...]:
    """The splits of ImageSets/Main, or none where there are no Annotations.

    They are looked for here and in VOCdevkit; of several years all are taken together.

    Raises:
        UserError: there are no lists of splits, or one names an image without annotations.
    """
    years = [root] if (root / "Annotations").is_dir() else _years(root)
    if not years:
        return ()
    lists = {
        year: {path.stem: path for path in (year / "ImageSets" / "Main").glob("*.txt")}
        for year in years
    }
    named = {name for own in lists.values() for name in own}
    pair = next((p for p in PAIRS if set(p) <= named), ("train", "val"))
    if not named & set(pair):
        raise DataError(
            "labels",
            "has Annotations, but no lists of what is for training",
            where=root,
            hint="needs ImageSets/Main/train.txt and val.txt, a name of an image on each line",
        )
    pictures = {year: _image_files(year / "JPEGImages") for year in years}
    listed = {
        name: [
            _Item(year / "Annotations" / f"{stem}.xml", _picture(pictures[year], year, stem))
            for year in years
            if name in lists[year]
            for stem in _stems(lists[year][name])
        ]
        for name in pair
    }
    every = tuple(item.labels for items in listed.values() for item in items)
    folder = years[0] / "JPEGImages" if len(years) == 1 else shared_folder(years)
    splits: tuple[SplitName, ...] = ("train", "val")
    return tuple(
        _found(split, name, folder, lists, listed[name], every)
        for split, name in zip(splits, pair, strict=True)
        if name in named
    )


class _Item(NamedTuple):
    """An image of a split."""

    labels: Path
    picture: Path


def _years(root: Path) -> list[Path]:
    """As VOC's own archives lie: VOCdevkit/VOC2007, VOCdevkit/VOC2012."""
    folders = [*sorted(root.glob("VOCdevkit/*")), *sorted(root.glob("VOC*"))]
    needed = ("Annotations", "ImageSets/Main")
    return [folder for folder in folders if all((folder / each).is_dir() for each in needed)]


def _picture(images: dict[str, Path], year: Path, stem: str) -> Path:
    return images.get(stem, year / "JPEGImages" / f"{stem}.jpg")


def _stems(path: Path) -> list[str]:
    """First word of each line; per-class lists have a second, 1 or -1."""
    return [line.split()[0] for line in read_lines(path) if line.strip()]


def _image_files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError("missing_image", "is not there", where=folder, hint="needs the images")
    return {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in SUFFIXES}


def _found(
    split: SplitName,
    name: str,
    folder: Path,
    lists: Mapping[Path, Mapping[str, Path]],
    items: list[_Item],
    every: tuple[Path, ...],
) -> Found:
    """Args: folder: that file names are relative to; every: labels of both splits."""

    def convert(on_mistake: OnMistake) -> str:
        names = {name for path in every for name in _names(path, on_mistake)}
        return _document(folder, items, sorted(names), on_mistake).encoded()

    first, *others = [own[name] for own in lists.values() if name in own]
    without = [year.name for year, own in lists.items() if name not in own]
    notes = [TESTED] if name == "test" else []
    notes += [f"{year} has no list '{name}' and gives no image to this split" for year in without]
    pictures = tuple(item.picture for item in items)
    return Found(split, folder, first, (*others, *every), pictures, convert, tuple(notes))


def _tree(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(read_bytes(path))
    except ElementTree.ParseError as error:
        line, column = error.position
        found, where = "is not XML, or truncated", f"{path}:{line}:{column}"
        raise DataError("labels", found, where=where) from error


def _names(path: Path, on_mistake: OnMistake) -> list[str]:
    names = []
    try:
        things = list(_tree(path).iter("object"))
    except UserError as mistake:
        on_mistake(mistake)
        return []
    for thing in things:
        try:
            names.append(_name(path, thing))
        except UserError as mistake:
            on_mistake(mistake)
    return names


def _name(path: Path, thing: ElementTree.Element) -> str:
    name = (thing.findtext("name") or "").strip()
    if not name:
        raise DataError("format", "has an object without a name", where=path)
    return name


def _document(
    folder: Path,
    pairs: Iterable[tuple[Path, Path]],
    classes: list[str],
    on_mistake: OnMistake,
) -> Document:
    document = Document([{"id": i, "name": name} for i, name in enumerate(classes, 1)])
    difficult = 0
    for path, picture in pairs:
        try:
            tree = _tree(path)
            document.add_image(picture.relative_to(folder).as_posix(), _size(tree, picture))
        except UserError as mistake:
            on_mistake(mistake)
            continue
        for thing in tree.iter("object"):
            try:
                document.add_box(classes.index(_name(path, thing)) + 1, _box(path, thing))
            except UserError as mistake:
                on_mistake(mistake)
                continue
            difficult += (thing.findtext("difficult") or "0").strip() == "1"
    if difficult:
        document.notes.append(f"{difficult} objects are marked difficult, kept as ordinary ones")
    return document


def _size(tree: ElementTree.Element, picture: Path) -> tuple[int, int]:
    """Width and height as annotated, else from the image's header."""
    try:
        size = int(tree.findtext("size/width") or 0), int(tree.findtext("size/height") or 0)
    except ValueError:
        size = 0, 0
    return size if min(size) > 0 else upright_size(picture)


def _box(path: Path, thing: ElementTree.Element) -> tuple[float, float, float, float]:
    keys = ("xmin", "ymin", "xmax", "ymax")
    try:
        x1, y1, x2, y2 = (float(thing.findtext(f"bndbox/{key}") or "") for key in keys)
    except ValueError:
        found = f"has a '{_name(path, thing)}' whose bndbox is not four numbers"
        hint = f"needs {', '.join(keys)}"
        raise DataError("format", found, where=path, hint=hint) from None
    if x2 < x1 or y2 < y1:
        corners = f"{x1:g}, {y1:g}, {x2:g}, {y2:g}"
        found = f"has a '{_name(path, thing)}' of negative size: {corners}"
        raise DataError("box_size", found, where=path)
    return x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1
