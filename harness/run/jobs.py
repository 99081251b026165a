"""What an executor must offer: it takes commands, each of which runs one cell, and runs them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Task:
    """A cell for an executor.

    Attributes:
        name: of the cell, "tinydet_s/seed0/train".
        command: what to run, on any machine that sees the run folder and the code.
        directory: where to run it.
        environment: variables to set beside those that are there.
        log: file for what it prints.
        alone: it is timed: nothing else may run on its machine.
        processes: that the command starts, each of which wants a GPU of its own where GPUs are.
    """

    name: str
    command: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    log: Path
    alone: bool
    processes: int


class Job(Protocol):
    """A task that an executor has taken. How its cell ended, the run folder tells."""

    def poll(self) -> str | None:
        """None as long as it may still write to the folder; then "", or what became of it."""

    def stop(self) -> None:
        """Ask it to save and end, as SIGTERM does."""

    def kill(self) -> None:
        """End it at once."""


class Executor(Protocol):
    """Where jobs run.

    Attributes:
        slots: how many at once.
        one_machine: whether they share a machine, so that nothing may run beside a timed one.
    """

    slots: int
    one_machine: bool

    def start(self, task: Task) -> Job:
        """Take a task; it may wait in a queue of the executor's own."""
