"""What can be wrong with a data set, by kind: raised one at a time, or collected. No torch here."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from harness.errors import UserError

SHOWN = 5  # examples of a kind that are told before they are only counted

FaultKind = Literal[
    "absent_split", "labels", "format", "no_images", "no_boxes", "nothing_to_train_on",
    "missing_image", "unreadable_image", "image_size", "file_name", "outside", "box_size",
    "unknown_category", "unknown_image", "repeated_id", "classes",
    "zero_size", "reaching", "twice", "corners", "fractions", "placeholder_area", "large_area",
    "one_file", "both_splits", "other_note", "other",
]  # fmt: skip


@dataclass(frozen=True)
class Remedy:
    """What the faults of a kind are called, and what to do about them."""

    title: str
    what_to_do: str


# Faults with which nothing can be trained or evaluated. The others have a line of their own.
REMEDIES: Mapping[str, Remedy] = {
    "absent_split": Remedy(
        "absent splits",
        "lay a part of the images out as the absent one, or name its files under data.params",
    ),
    "labels": Remedy("label files that cannot be read", "export the labels again"),
    "format": Remedy("entries that are not as their format needs", "export the labels again"),
    "no_images": Remedy("splits without images", "put images into it"),
    "no_boxes": Remedy("splits without boxes", "label objects in it"),
    "nothing_to_train_on": Remedy("splits without a box to train on", "label larger objects"),
    "missing_image": Remedy("missing image files", "add the files, or remove them from the labels"),
    "unreadable_image": Remedy(
        "unreadable image files", "replace the files, or remove them from the labels"
    ),
    "image_size": Remedy(
        "images of another size than annotated", "correct width and height, or replace the files"
    ),
    "file_name": Remedy(
        "file names that cannot be used", "name files relative to the folder of images"
    ),
    "outside": Remedy("boxes outside their image", "correct or remove the boxes"),
    "box_size": Remedy(
        "boxes of negative size", "correct the boxes: width = x2 - x1, height = y2 - y1"
    ),
    "unknown_category": Remedy(
        "boxes of an unknown category", "add the category, or correct its ids"
    ),
    "unknown_image": Remedy("boxes of an unknown image", "add the images, or remove their boxes"),
    "repeated_id": Remedy("repeated ids or names", "give each entry its own"),
    "classes": Remedy("classes that differ between the splits", "give both splits the same"),
    "other": Remedy("other mistakes", "correct what is named"),
}


class DataError(UserError):
    """A mistake in a data set, of one of the kinds of `REMEDIES`."""

    def __init__(self, kind: FaultKind, found: str, *, where: object = "", hint: str = "") -> None:
        super().__init__(found, where=where, hint=hint)
        self.kind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        """Workers of loaders hand it on."""
        again = partial(type(self), self.kind, self.found, where=self.where, hint=self.hint)
        return again, ()


OnMistake = Callable[[UserError], None]


def refuse(mistake: UserError) -> None:
    """What is done with a mistake unless they are collected."""
    raise mistake


@dataclass(frozen=True)
class Fault:
    """All faults of one kind in one split.

    Attributes:
        line: what a user is told, with the count.
        examples: the first `SHOWN`.
    """

    kind: FaultKind
    count: int
    line: str
    examples: tuple[str, ...] = ()

    @property
    def stops(self) -> bool:
        """Whether a split with it cannot be used."""
        return self.kind in REMEDIES


class Collector:
    """An `OnMistake` that goes on; equal mistakes count once.

    Args:
        inside: what is left out at the beginning of a place: the label file, the folder.
    """

    def __init__(self, inside: Iterable[Path]) -> None:
        self.prefixes = [text for path in inside for text in (f"{path} ", f"{path}: ", f"{path}/")]
        self.seen: set[str] = set()
        self.counts: Counter[FaultKind] = Counter()
        self.examples: dict[FaultKind, list[str]] = defaultdict(list)

    def __call__(self, mistake: UserError) -> None:
        text = ": ".join(part for part in (mistake.where, mistake.found) if part)
        if text in self.seen:
            return
        self.seen.add(text)
        kind: FaultKind = mistake.kind if isinstance(mistake, DataError) else "other"
        self.counts[kind] += 1
        if len(self.examples[kind]) < SHOWN:
            for prefix in self.prefixes:
                text = text.removeprefix(prefix)
            hint = f" ({mistake.hint})" if mistake.hint else ""
            self.examples[kind].append(text + hint)

    def faults(self) -> list[Fault]:
        """By kind, in the order of `REMEDIES`."""
        return [
            Fault(kind, count, f"{REMEDIES[kind].title}: {count}", tuple(self.examples[kind]))
            for kind, count in sorted(
                self.counts.items(), key=lambda item: list(REMEDIES).index(item[0])
            )
        ]
