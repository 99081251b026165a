"""What people say of a run: a note and tags."""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.errors import UserError
from harness.files import write_json
from harness.records import layout

TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,49}")


@dataclass(frozen=True)
class About:
    """A note, "" for none, and tags, each once and in alphabetical order."""

    note: str = ""
    tags: tuple[str, ...] = ()

    def __str__(self) -> str:
        """ "#paper #wide the first try"."""
        return " ".join(filter(None, [*(f"#{tag}" for tag in self.tags), self.note]))

    def with_tags(self, more: Iterable[str] = (), less: Iterable[str] = ()) -> "About":
        """The same with other tags.

        Raises:
            UserError: one is not a tag, or one to be taken away is not there.
        """
        more, less = set(more), set(less)
        for tag in sorted(more | less):
            if not TAG.fullmatch(tag):
                hint = "letters, digits, and . _ : / - between them"
                raise UserError(f"'{tag}' is not a tag", hint=hint)
        if absent := sorted(less - set(self.tags)):
            there = f"there is: {', '.join(self.tags) or 'none'}"
            raise UserError(f"there is no tag '{absent[0]}'", hint=there)
        return About(self.note, tuple(sorted({*self.tags, *more} - less)))


def read_about(run: Path) -> About:
    """Of a run folder; empty where nobody has said anything.

    Raises:
        UserError: the file cannot be read.
    """
    path = run / layout.ABOUT
    try:
        found = json.loads(path.read_bytes())
        return About(str(found["note"]), tuple(map(str, found["tags"])))
    except FileNotFoundError:
        return About()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError("cannot be read", where=path, hint="delete it, or restore it") from error


def write_about(run: Path, about: About) -> None:
    """Replace what was said of a run.

    Raises:
        UserError: it is not a run folder, or cannot be written to.
    """
    if not layout.is_run(run):
        raise UserError("is not the folder of a run", where=run)
    try:
        write_json(run / layout.ABOUT, asdict(about))
    except OSError as error:
        found = f"cannot be written: {error.strerror}"
        raise UserError(found, where=run / layout.ABOUT) from error
