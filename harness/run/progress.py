"""What a person sees while a run goes on."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

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

LINE_EVERY_S = 15.0
DRAW_EVERY_S = 0.1


class Reporter:
    """Told of cells and of the steps inside them. This one is silent."""

    def start(self, cell: str) -> None: ...

    def advance(self, done: int, total: int, note: str = "") -> None:
        """`total` is 0 while something without steps goes on, which `note` names."""

    def finish(self, cell: str, status: str) -> None: ...

    def note(self, line: str) -> None: ...


class Bars(Reporter):
    """Two bars on a terminal: the whole run, and the cell at work."""

    def __init__(self, console: Console, cells: int) -> None:
        self.progress = Progress(
            TextColumn("{task.description}", justify="left"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("[dim]{task.fields[note]}"),
            console=console,
            auto_refresh=False,  # a drawing thread would disturb what is being timed
        )
        self.drawn = 0.0
        self.run: TaskID = self.progress.add_task("[bold]cells", total=cells, note="")
        self.cell: TaskID | None = None

    def start(self, cell: str) -> None:
        self.cell = self.progress.add_task(cell, total=None, note="")
        self.progress.refresh()

    def advance(self, done: int, total: int, note: str = "") -> None:
        if self.cell is not None:
            self.progress.update(self.cell, completed=done, total=total or None, note=note)
        if not total or time.monotonic() - self.drawn >= DRAW_EVERY_S:
            self.drawn = time.monotonic()
            self.progress.refresh()

    def finish(self, cell: str, status: str) -> None:
        if self.cell is not None:
            self.progress.remove_task(self.cell)
        self.progress.console.print(f"{_mark(status)} {cell}", highlight=False)
        self.progress.advance(self.run)
        self.progress.refresh()

    def note(self, line: str) -> None:
        self.progress.console.print(f"[yellow]note[/] {escape(line)}", highlight=False)


class Lines(Reporter):
    """A line now and then, where the output is not a terminal (CI logs, files)."""

    def __init__(self, console: Console, cells: int) -> None:
        self.console, self.cells, self.done = console, cells, 0
        self.cell, self.printed = "", 0.0

    def start(self, cell: str) -> None:
        self.cell, self.printed = cell, time.monotonic()
        self._print(f"[{self.done + 1}/{self.cells}] {cell}")

    def advance(self, done: int, total: int, note: str = "") -> None:
        if not total:
            self._print(f"[{self.done + 1}/{self.cells}] {self.cell}: {note}")
        elif time.monotonic() - self.printed >= LINE_EVERY_S:
            self.printed = time.monotonic()
            self._print(f"[{self.done + 1}/{self.cells}] {self.cell}: {done}/{total}  {note}")

    def finish(self, cell: str, status: str) -> None:
        self.done += 1
        self._print(f"[{self.done}/{self.cells}] {cell}: {status}")

    def note(self, line: str) -> None:
        self._print(f"note: {line}")

    def _print(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


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
