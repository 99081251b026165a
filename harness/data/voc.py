"""Pascal VOC's format: an XML file for each image, and lists of the splits. No torch here.

Corners are 1-based and inclusive, as VOC defines them: x = xmin - 1, width = xmax - xmin + 1.
Classes are those of all listed images, sorted by name. COCO's AP knows no `difficult` objects:
they are kept as ordinary ones, and counted in a note.
"""

from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from harness.data.faults import DataError, OnMistake
from harness.data.source import SplitName
from harness.data.splits import SUFFIXES, Document, Found, read_bytes, read_lines, upright_size
from harness.errors import UserError

# the lists to train and to evaluate on, in order of preference
PAIRS = (("train", "val"), ("trainval", "test"), ("train", "test"))


def find_splits(root: Path) -> tuple[Found, ...]:
    """The splits of ImageSets/Main, or none where there are no Annotations.

    Raises:
        UserError: there are no lists of splits, or one names an image without annotations.
    """
    folder = root / "Annotations"
    if not folder.is_dir():
        return ()
    lists = {path.stem: path for path in (root / "ImageSets" / "Main").glob("*.txt")}
    pair = next((p for p in PAIRS if set(p) <= set(lists)), None)
    named = dict(zip(("train", "val"), pair or ("train", "val"), strict=True))
    chosen = {split: lists[name] for split, name in named.items() if name in lists}
    if not chosen:
        raise DataError(
            "labels",
            "has Annotations, but no lists of what is for training",
            where=root,
            hint="needs ImageSets/Main/train.txt and val.txt, a name of an image on each line",
        )
    stems = {split: _stems(path) for split, path in chosen.items()}
    files = tuple(folder / f"{stem}.xml" for one in stems.values() for stem in one)
    images = _image_files(root / "JPEGImages")
    splits: tuple[SplitName, ...] = ("train", "val")
    return tuple(_found(root, s, chosen[s], stems[s], files, images) for s in splits if s in chosen)


def _stems(path: Path) -> list[str]:
    """First word of each line; per-class lists have a second, 1 or -1."""
    return [line.split()[0] for line in read_lines(path) if line.strip()]


def _image_files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError("missing_image", "is not there", where=folder, hint="needs the images")
    return {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in SUFFIXES}


def _found(
    root: Path,
    split: SplitName,
    listed: Path,
    stems: list[str],
    files: tuple[Path, ...],
    images: dict[str, Path],
) -> Found:
    folder = root / "JPEGImages"
    pictures = tuple(images.get(stem, folder / f"{stem}.jpg") for stem in stems)

    def convert(on_mistake: OnMistake) -> str:
        names = {name for path in files for name in _names(path, on_mistake)}
        own = [root / "Annotations" / f"{stem}.xml" for stem in stems]
        pairs = zip(own, pictures, strict=True)
        return _document(folder, pairs, sorted(names), on_mistake).encoded()

    return Found(split, folder, listed, files, pictures, convert)


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
