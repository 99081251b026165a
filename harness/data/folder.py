"""A folder in COCO's layout as a data source. No torch here: a plan reads this."""

import hashlib
from functools import lru_cache
from pathlib import Path

from harness.data.annotations import Annotations, read_annotations
from harness.data.source import Split, SplitName
from harness.errors import UserError

SPLITS: tuple[SplitName, ...] = ("train", "val")
DARK = 4096  # 12-bit values in 16 bits are below; their upper 8 bits are 0 to 15
SHOWN = 5  # file names that an error lists before it counts


class CocoFolder:
    """ROOT/{train,val}/*.jpg + ROOT/annotations/instances_{train,val}.json.

    The official names (train2017, val2017) serve as well. One of the splits may be absent.
    """

    def __init__(self, root: str | Path, name: str | None = None) -> None:
        self.root = Path(root).expanduser()
        self.name = name or self.root.resolve().name

    def fingerprint(self) -> str:
        """sha256 over the annotation files of both splits."""
        digest = hashlib.sha256()
        for split in self.splits():
            digest.update(f"{split.name}\0".encode())
            digest.update(_digest(split.annotations))
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
            UserError: there is none.
        """
        found = [split for split in map(self._find, SPLITS) if split is not None]
        if not found:
            raise self._absent("data set in COCO's layout", "train or val")
        return tuple(found)

    def split(self, name: SplitName) -> Split:
        found = self._find(name)
        if found is None:
            raise self._absent(f"split '{name}'", name)
        return found

    def check(self, name: SplitName, thorough: bool = False) -> tuple[str, ...]:
        """Find what would stop a run, as `check_split`. Both splits must have the same classes.

        Returns:
            warnings, one line each.
        """
        split = self.split(name)
        annotations = read_annotations(split.annotations)
        for other in self.splits():
            check_same_classes(read_annotations(other.annotations), annotations)
        return check_split(split, thorough)

    def _find(self, name: SplitName) -> Split | None:
        for folder in (name, f"{name}2017"):
            images = self.root / folder
            annotations = self.root / "annotations" / f"instances_{folder}.json"
            if images.is_dir() and annotations.is_file():
                return Split(name, images, annotations)
        return None

    def _absent(self, what: str, name: str) -> UserError:
        if not self.root.is_dir():
            return UserError("is not a folder", where=self.root, hint="needs a COCO-format folder")
        layout = f"{name}/ with annotations/instances_{name}.json"
        return UserError(
            f"has no {what}", where=self.root, hint=f"needs {layout}, or the same with 2017"
        )


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=path) from error


def check_same_classes(one: Annotations, other: Annotations) -> None:
    """Raises UserError when two splits of a set disagree on ids or names of the classes."""
    pairs = [
        dict(zip(each.category_ids, each.classes, strict=True)).items() for each in (one, other)
    ]
    if pairs[0] != pairs[1]:
        example = sorted(pairs[0] ^ pairs[1])[0]
        raise UserError(
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
        raise UserError(
            "has no boxes at all", where=split.annotations, hint="needs annotated objects"
        )
    problems = [
        f"{image.file_name} {problem}"
        for image in annotations.images
        if (problem := _problem(split.images, image.file_name))
    ]
    notes: list[str] = []
    if thorough and not problems:
        problems = _decoding_problems(split, annotations)
        notes = [] if problems else _pixel_notes(split, annotations)
    if problems:
        more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise UserError(
            f"{len(problems)} of {len(annotations.images)} images cannot be used: "
            f"{'; '.join(problems[:SHOWN])}{more}",
            where=split.images,
            hint="needs every image that the annotations name",
        )
    return (*annotations.warnings, *notes)


def image_path(folder: Path, file_name: str) -> Path:
    """Path of an image.

    Raises:
        UserError: links lead out of the data set, which is the folder above `folder`.
    """
    path = folder / file_name
    if not path.resolve().is_relative_to(_data_root(folder)):
        raise UserError("leads out of the data folder", where=path, hint="needs a file inside it")
    return path


@lru_cache(maxsize=16)
def _data_root(folder: Path) -> Path:
    """What links may lead into: the folder above `folder`, or where `folder` itself leads."""
    parent, real = folder.parent.resolve(), folder.resolve()
    return parent if real.is_relative_to(parent) else real


def _problem(folder: Path, file_name: str) -> str:
    """What is obviously wrong with an image file, or ""."""
    try:
        path = image_path(folder, file_name)
        if not path.exists():
            return "is missing"
        if not path.is_file():
            return "is not a file"
        return "" if path.stat().st_size else "is empty"
    except (OSError, RuntimeError) as error:  # a loop of links, a name too long, no permission
        return f"cannot be read ({type(error).__name__})"
    except UserError as error:
        return error.found


def _decoding_problems(split: Split, annotations: Annotations) -> list[str]:
    from harness.data.images import read_image

    problems = []
    for image in annotations.images:
        try:
            read_image(split.images / image.file_name, (image.height, image.width))
        except UserError as error:
            problems.append(f"{image.file_name} {error.found}")
    return problems


def _pixel_notes(split: Split, annotations: Annotations) -> list[str]:
    """What readable image files hold that a user should know."""
    from harness.data.images import look_into

    turned: list[str] = []
    stored: list[str] = []
    dark: list[str] = []
    for image in annotations.images:
        look = look_into(split.images / image.file_name)
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
    return [f"{len(names)} {what}: {_first(names)}" for what, names in said.items() if names]


def _first(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
