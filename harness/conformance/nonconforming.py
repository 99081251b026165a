"""What a check raises, and how it collects all that is wrong before it does."""

from collections.abc import Iterator
from contextlib import contextmanager

from harness.errors import UserError

SHOWN = 300  # characters of a stranger's message


class NonconformingError(AssertionError):
    """A part does not keep the contract of its kind.

    Attributes:
        what: the part, "backbone 'strided'".
        problems: all that was found, each in a clause.
    """

    def __init__(self, what: str, problems: tuple[str, ...]) -> None:
        self.what, self.problems = what, problems
        super().__init__("\n".join([f"{what}:", *(f"- {problem}" for problem in problems)]))


class StopChecksError(Exception):
    """What is wrong is in `Problems` already, and the rest cannot be checked."""


class Problems:
    """What is wrong with one part, each thing once."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, problem: str) -> None:
        if problem not in self.found:
            self.found.append(problem)

    @contextmanager
    def during(self, doing: str) -> Iterator[None]:
        """What a part raises here is a problem: "`doing`: RuntimeError: ...".

        Raises:
            StopChecksError: it raised.
        """
        try:
            yield
        except StopChecksError:
            raise
        except Exception as error:  # whatever a stranger's part raises is the finding
            self.add(f"{doing}: {tell(error)}")
            raise StopChecksError from error


def tell(error: Exception) -> str:
    """An exception in a line."""
    line = " ".join(str(error).split())[:SHOWN]
    return line if isinstance(error, UserError) else f"{type(error).__name__}: {line}"
