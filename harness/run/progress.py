"""What a person sees while a run goes on."""

import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from harness.files import this_process
from harness.report.format import duration

LINE_EVERY_S = 15.0
DRAW_EVERY_S = 0.1
WRITTEN_EVERY_S = 1.0


@dataclass(frozen=True)
class Step:
    """How far a cell is; `total` is 0 while something without steps goes on, which `note` names.

    Attributes:
        process: "process N on HOST".
        started, time: of the cell and of this step, in seconds since 1970.
    """

    done: int
    total: int
    note: str
    process: str
    started: float
    time: float


class Reporter:
    """Told of cells and of the steps inside them. This one is silent."""

    def start(self, cell: str) -> None: ...

    def advance(self, done: int, total: int, note: str = "", *, cell: str = "") -> None:
        """`total` is 0 while something without steps goes on, which `note` names.

        Args:
            cell: "" for the one that was started last.
        """

    def finish(self, cell: str, status: str) -> None: ...

    def note(self, line: str) -> None: ...


class Bars(Reporter):
    """Two bars on a terminal: the whole run, and the cell at work."""

    def __init__(self, console: Console, cells: int) -> None:
        self.progress = Progress(
            TextColumn("{task.description}", justify="left"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            # what does not fit is cut from the end of the note, not from the times
            TextColumn(
                "[dim]{task.fields[note]}",
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            ),
            console=console,
            expand=True,
            auto_refresh=False,  # a drawing thread would disturb what is being timed
        )
        self.drawn = 0.0
        self.run: TaskID = self.progress.add_task("[bold]cells", total=cells, note="")
        self.cells: dict[str, TaskID] = {}  # those at work

    def start(self, cell: str) -> None:
        self.cells[cell] = self.progress.add_task(cell, total=None, note="")
        self.progress.refresh()

    def advance(self, done: int, total: int, note: str = "", *, cell: str = "") -> None:
        if self.cells:
            task = self.cells[cell or next(reversed(self.cells))]
            self.progress.update(task, completed=done, total=total or None, note=note)
        if not total or time.monotonic() - self.drawn >= DRAW_EVERY_S:
            self.drawn = time.monotonic()
            self.progress.refresh()

    def finish(self, cell: str, status: str) -> None:
        if cell in self.cells:
            self.progress.remove_task(self.cells.pop(cell))
        self.progress.console.print(f"{_mark(status)} {cell}", highlight=False)
        self.progress.advance(self.run)
        self.progress.refresh()

    def note(self, line: str) -> None:
        self.progress.console.print(f"[yellow]note[/] {escape(line)}", highlight=False)


class Lines(Reporter):
    """A line now and then, where the output is not a terminal (CI logs, files)."""

    def __init__(self, console: Console, cells: int) -> None:
        self.console, self.cells, self.done = console, cells, 0
        # cell at work -> when, and what without steps
        self.printed: dict[str, tuple[float, str]] = {}
        # and of its steps, how many there were when they began, and when that was
        self.begun: dict[str, tuple[int, float]] = {}

    def start(self, cell: str) -> None:
        self.printed[cell] = time.monotonic(), ""
        self._print(f"[{self._number}/{self.cells}] {cell}")

    def advance(self, done: int, total: int, note: str = "", *, cell: str = "") -> None:
        cell = cell or next(reversed(self.printed), "")
        printed, said = self.printed.get(cell, (0.0, ""))
        if not total:
            self.begun.pop(cell, None)
            if note != said:
                self._print(f"[{self._number}/{self.cells}] {cell}: {note}")
                self.printed[cell] = printed, note
            return
        now = time.monotonic()
        first, since = self.begun.setdefault(cell, (done, now))
        if now - printed >= LINE_EVERY_S:
            self.printed[cell] = now, ""
            shown = f"{done}/{total} {note}".rstrip()
            if first < done < total:
                left = (now - since) / (done - first) * (total - done)
                shown += f", about {duration(left)} left"
            self._print(f"[{self._number}/{self.cells}] {cell}: {shown}")

    def finish(self, cell: str, status: str) -> None:
        self.printed.pop(cell, None)
        self.begun.pop(cell, None)
        self.done += 1
        self._print(f"[{self.done}/{self.cells}] {cell}: {status}")

    def note(self, line: str) -> None:
        self._print(f"note: {line}")

    @property
    def _number(self) -> int:
        return min(self.done + 1, self.cells)

    def _print(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


class Written(Reporter):
    """Writes the steps of one cell to its progress file, and tells another reporter as well."""

    def __init__(self, path: Path, other: Reporter) -> None:
        self.path, self.other = path, other
        self.started, self.written = time.time(), -math.inf
        self.process = this_process()

    def start(self, cell: str) -> None:
        self._write(0, 0, "")
        self.other.start(cell)

    def advance(self, done: int, total: int, note: str = "", *, cell: str = "") -> None:
        if not total or time.monotonic() - self.written >= WRITTEN_EVERY_S:
            self._write(done, total, note)
        self.other.advance(done, total, note, cell=cell)

    def finish(self, cell: str, status: str) -> None:
        self.path.unlink(missing_ok=True)
        self.other.finish(cell, status)

    def note(self, line: str) -> None:
        self.other.note(line)

    def _write(self, done: int, total: int, note: str) -> None:
        """Not brought to the disk: it is of no use after a crash."""
        self.written = time.monotonic()
        step = Step(done, total, note, self.process, self.started, time.time())
        temporary = self.path.with_suffix(".tmp")
        with suppress(OSError):  # a full disk is the records' to report
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(asdict(step)))
            temporary.replace(self.path)


def read_progress(path: Path) -> Step | None:
    """How far a cell is, None where no process works on it or none has said so."""
    try:
        return Step(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def reporter(cells: int, quiet: bool = False) -> Iterator[Reporter]:
    """Bars on a terminal, lines elsewhere, nothing when `quiet`, as all but one process are."""
    console = Console(stderr=True)
    if quiet:
        yield Reporter()
    elif console.is_terminal:
        bars = Bars(console, cells)
        with bars.progress:
            yield bars
    else:
        yield Lines(console, cells)
        sys.stderr.flush()


def _mark(status: str) -> str:
    return {"ok": "[green]done[/]", "kept": "[dim]kept[/]"}.get(status, f"[red]{status}[/]")
