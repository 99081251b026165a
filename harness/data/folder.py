"""A folder of a data set as a data source. No torch here: a plan reads this."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.data.annotations import Annotations, ImageEntry, read_annotations
from harness.data.completing import completed
from harness.data.faults import SHOWN, DataError
from harness.data.layouts import recognise
from harness.data.source import Split, SplitName
from harness.data.splits import Found, as_split, read_bytes
from harness.errors import UserError, first_of

SPLITS: tuple[SplitName, ...] = ("train", "val")
DARK = 4096  # 12-bit values in 16 bits are below; their upper 8 bits are 0 to 15


class CocoFolder:
    """A folder in any layout of `harness.data.layouts`, read as COCO's. A split may be absent.

    Args:
        root: the folder, or the data.yaml in it.
        train: `images` folder and `annotations` file (COCO's format) of the split, relative to
            the root; where train or val is named, no layout is looked for.
        val: the same for the other split.
    """

    def __init__(
        self,
        root: str | Path,
        name: str | None = None,
        train: Mapping[str, str] | None = None,
        val: Mapping[str, str] | None = None,
    ) -> None:
        root = Path(root).expanduser()
        self.root = root.parent if root.suffix in (".yaml", ".yml") and root.is_file() else root
        self.name = name or self.root.resolve().name
        self.named: dict[SplitName, Mapping[str, str] | None] = {"train": train, "val": val}

    @property
    def layout(self) -> str:
        """Name of the layout that was recognised.

        Raises:
            UserError: as `splits`.
        """
        return "named by params" if any(self.named.values()) else recognise(self.root)[0]

    def fingerprint(self) -> str:
        """sha256 over the annotation files of both splits."""
        digest = hashlib.sha256()
        for split in self.splits():
            digest.update(f"{split.name}\0".encode())
            digest.update(hashlib.sha256(read_bytes(split.annotations)).digest())
        return digest.hexdigest()

    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their dataset ids, read from the smaller file."""
        smallest = min(self.splits(), key=lambda split: split.annotations.stat().st_size)
        return read_annotations(smallest.annotations).classes

    def prepare(self) -> None:
        """Nothing is made; only checks that there are splits."""
        self.splits()

    def splits(self) -> tuple[Split, ...]:
        """The splits that are there.

        Raises:
            UserError: there is none, or its labels cannot be read.
        """
        found = self.found()
        return tuple(as_split(completed(one, found)) for one in found)

    def split(self, name: SplitName) -> Split:
        found = self.found()
        for one in found:
            if one.name == name:
                return as_split(completed(one, found))
        there = ", ".join(f"{one.name} ({os.path.relpath(one.labels, self.root)})" for one in found)
        raise UserError(
            f"has no split '{name}', only {there}",
            where=self.root,
            hint=f"needs a part of the images as '{name}', laid out as the other split",
        )

    def found(self) -> tuple[Found, ...]:
        """The splits as they lie on disk, of which nothing is read yet.

        Raises:
            UserError: there is none.
        """
        named = [(name, places) for name, places in self.named.items() if places]
        if not named:
            return recognise(self.root)[1]
        return tuple(
            Found(name, self.root / places["images"], self.root / places["annotations"])
            for name, places in named
        )


def check_same_classes(one: Annotations, other: Annotations) -> None:
    """Raises UserError when two splits of a set disagree on ids or names of the classes."""
    pairs = [
        dict(zip(each.category_ids, each.classes, strict=True)).items() for each in (one, other)
    ]
    if pairs[0] != pairs[1]:
        example = sorted(pairs[0] ^ pairs[1])[0]
        raise DataError(
            "classes",
            f"has other categories than {one.path.name}, such as {example[0]} '{example[1]}'",
            where=other.path,
            hint="both splits need the same 'categories'",
        )


def check_split(split: Split, thorough: bool = False) -> tuple[str, ...]:
    """Read the annotations and find every image file, before anything is trained.

    Args:
        split: what to check.
        thorough: also decode every image, and compare its size with the annotated one.

    Returns:
        warnings, one line each.

    Raises:
        UserError: the annotations are wrong or hold no box; or image files are missing, empty
            or (when thorough) unreadable: the first few names, and how many there are.
    """
    annotations = read_annotations(split.annotations)
    if not len(annotations.objects):
        hint = "needs annotated objects"
        raise DataError("no_boxes", "has no boxes at all", where=split.annotations, hint=hint)
    problems = [
        f"{image.file_name} {problem}"
        for image in annotations.images
        if (problem := file_problem(split.images, image.file_name))
    ]
    notes: list[str] = []
    if thorough and not problems:
        problems = _decoding_problems(split, annotations)
        notes = [] if problems else pixel_notes(split.images, annotations.images)
    if problems:
        raise UserError(
            f"{len(problems)} of {len(annotations.images)} images cannot be used: "
            f"{first_of(problems, SHOWN, '; ')}",
            where=split.images,
            hint="needs every image that the annotations name",
        )
    return (*split.notes, *annotations.warnings, *notes)


def file_problem(folder: Path, file_name: str) -> str:
    """What is obviously wrong with an image file, or ""; it may be a link, wherever that leads."""
    try:
        path = folder / file_name
        if not path.exists():
            return "is missing"
        if not path.is_file():
            return "is not a file"
        return "" if path.stat().st_size else "is empty"
    except (OSError, RuntimeError) as error:  # a loop of links, a name too long, no permission
        return f"cannot be read ({type(error).__name__})"


def _decoding_problems(split: Split, annotations: Annotations) -> list[str]:
    from harness.data.images import read_entry

    problems = []
    for image in annotations.images:
        try:
            read_entry(split.images, image)
        except UserError as error:
            problems.append(f"{image.file_name} {error.found}")
    return problems


def pixel_notes(folder: Path, images: Iterable[ImageEntry]) -> list[str]:
    """What readable image files hold that a user should know."""
    from harness.data.images import look_into

    turned: list[str] = []
    stored: list[str] = []
    dark: list[str] = []
    for image in images:
        look = look_into(folder / image.file_name)
        upright = look.size[::-1] if look.orientation >= 5 else look.size
        if look.orientation > 1:
            fits = upright == (image.height, image.width)
            (turned if fits else stored).append(image.file_name)
        if look.brightest is not None and look.brightest < DARK:
            dark.append(image.file_name)
    said = {
        "images are turned upright by their EXIF orientation, as labelling tools show them": turned,
        "images have an EXIF orientation, but are annotated as stored, and read so": stored,
        f"16-bit images hold no value of {DARK} or more and come out nearly black: scale them to "
        "16 bits": dark,
    }
    return [
        f"{len(names)} {what}: {first_of(names, SHOWN)}" for what, names in said.items() if names
    ]
