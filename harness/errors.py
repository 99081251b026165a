"""The one class of errors that are the user's to fix, and the exit codes."""

from collections.abc import Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    OK = 0
    CELL_FAILED = 1
    BAD_INPUT = 2
    GATE_MISSED = 3
    NOTHING_TO_COMPARE = 4


class UserError(Exception):
    """Something outside the program is wrong; it is printed as one line, without a traceback.

    Args:
        found: what was found, as a short clause.
        where: file and place ("suites/tinydet.yaml:12 detectors.tinydet_s.neck"), or "".
        hint: what would do instead, or "".
    """

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, found: str, *, where: object = "", hint: str = "") -> None:
        self.found, self.where, self.hint = found, str(where), hint
        super().__init__(": ".join(part for part in (self.where, found) if part))

    def __str__(self) -> str:
        line = super().__str__()
        return f"{line} ({self.hint})" if self.hint else line


def near_names(name: str, known: list[str]) -> str:
    """A clause for `UserError.hint`: the name probably meant, then what exists."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1) or [one for one in known if name in one.split("_")]
    guess = f"did you mean '{near[0]}'? " if near else ""
    return f"{guess}there is: {', '.join(sorted(known)) or 'none'}"


def first_of(items: Sequence[object], most: int, between: str = ", ") -> str:
    """For messages: "a, b and 7 more"."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return between.join(map(str, items[:most])) + more


class CellError(Exception):
    """One cell of the plan cannot go on; its line becomes the cell's record, the others go on."""


class Interrupted(KeyboardInterrupt):
    """A signal stopped the work at a place from which it can be resumed.

    No `Exception`, so that no cell takes it for its own failure. `exit_code` is 128 + signal.
    """

    def __init__(self, signum: int, line: str) -> None:
        super().__init__(line)
        self.signum, self.exit_code = signum, 128 + signum
