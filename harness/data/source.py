"""Where images and annotations are. No torch here: a plan reads this."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

SplitName = Literal["train", "val"]


@dataclass(frozen=True)
class Split:
    """One split on disk.

    Attributes:
        name: "train" or "val".
        images: folder that the annotation file's names are relative to.
        annotations: COCO-format JSON file.
        notes: what a user should know of how it was found, one line each.
    """

    name: SplitName
    images: Path
    annotations: Path
    notes: tuple[str, ...] = ()


class DataSource(Protocol):
    """A data set in COCO's format; `factory(**params)` of a `Dataset` declaration returns one."""

    name: str

    def fingerprint(self) -> str:
        """Hash of everything that determines the data; cheap, and known before `prepare`."""
        ...

    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their dataset ids; known before `prepare`."""
        ...

    def prepare(self) -> None:
        """Make sure that the files exist (a generated set is made now)."""
        ...

    def split(self, name: SplitName) -> Split:
        """Paths of a split.

        Raises:
            UserError: the folder has no such split.
        """
        ...
