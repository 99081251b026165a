"""Cells in the order that their needs allow: in this process, or as jobs of an executor."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path

from harness.errors import UserError
from harness.files import read_tail
from harness.plan.cells import Cell, Plan
from harness.records import layout
from harness.records.record import Record
from harness.run.cell_runner import SKIPPED, CellRunner, fail_cell, is_timed, read_end
from harness.run.jobs import Executor, Job, Task
from harness.run.progress import Reporter, read_progress
from harness.run.spreading import processes_of

POLL_SECONDS = 0.1
GRACE_SECONDS = 60.0  # from the wish to stop to SIGKILL: a training saves in between


@dataclass
class Work:
    """What is to be done, and what became of it.

    Attributes:
        done: cells that were measured before.
        between: called when a cell is over.
    """

    plan: Plan
    folder: Path
    done: set[Cell]
    report: Reporter
    between: Callable[[], None]
    failed: set[Cell] = field(default_factory=set)

    def keep(self, cell: Cell) -> None:
        self.report.start(str(cell))
        self.report.finish(str(cell), "kept")

    def skip(self, cell: Cell) -> None:
        """It cannot run, as what it needs has failed."""
        self.report.start(str(cell))
        self.fail(cell, SKIPPED)

    def fail(self, cell: Cell, error: str) -> None:
        """Write down and tell that it failed, without having come to an end of its own."""
        self.failed.add(cell)
        try:
            fail_cell(self.folder, cell, error)
        except UserError as busy:  # what works on it will write its end
            error = str(busy)
        told = "not run" if error == SKIPPED else f"failed: {error}"
        self.report.finish(str(cell), told)

    def needs(self, cell: Cell) -> Cell | None:
        """The cell that must be done before: the training of the same detector and seed."""
        if cell.stage == "train":
            return None
        return self._trainings.get((cell.detector, cell.seed))

    @cached_property
    def _trainings(self) -> dict[tuple[str, int], Cell]:
        return {(c.detector, c.seed): c for c in self.plan.cells if c.stage == "train"}


def run_here(work: Work, runner: CellRunner) -> bool:
    """Run the cells in this process, detector by detector.

    Returns:
        whether one failed.
    """
    for _, cells in groupby(work.plan.cells, lambda c: (c.detector, c.seed)):
        broken = False
        for cell in cells:
            if cell in work.done:
                work.keep(cell)
            elif broken:
                work.skip(cell)
            elif runner.run(cell, work.report):
                work.failed.add(cell)
                broken = cell.stage == "train"
            work.between()
    return bool(work.failed)


@dataclass
class _Running:
    job: Job
    before: Record | None  # how the cell's last attempt had ended
    attempt: int
    reached: int  # the furthest step of the attempts before


def run_jobs(work: Work, executor: Executor, options: Sequence[str]) -> bool:
    """Run the cells as jobs of an executor.

    Args:
        options: of `harness cell`, behind the names of the run and the cell.

    Returns:
        whether one failed.

    Raises:
        KeyboardInterrupt: by a signal. Whatever is raised, the jobs were asked to stop and have
            stopped.
    """
    return _Jobs(work, executor, options).run()


@dataclass
class _Jobs:
    work: Work
    executor: Executor
    options: Sequence[str]
    running: dict[Cell, _Running] = field(default_factory=dict)

    def run(self) -> bool:
        waiting = []
        for cell in self.work.plan.cells:
            if cell in self.work.done:
                self.work.keep(cell)
            else:
                waiting.append(cell)
        try:
            while waiting or self.running:
                while (chosen := self._next(waiting)) is not None:
                    waiting.remove(chosen)
                    self._start(chosen, attempt=1)
                time.sleep(POLL_SECONDS)
                for cell in list(self.running):
                    self._look(cell)
        except BaseException:  # a mistake of ours included: no job goes on that nobody follows
            self._stop()
            raise
        return bool(self.work.failed)

    def _next(self, waiting: list[Cell]) -> Cell | None:
        """The next cell that may start now; those that never can are taken out of `waiting`."""
        for cell in list(waiting):
            if self.work.needs(cell) in self.work.failed:
                waiting.remove(cell)
                self.work.skip(cell)
        if len(self.running) >= self.executor.slots:
            return None
        ready = [c for c in waiting if (n := self.work.needs(c)) is None or n in self.work.done]
        if not ready or not self.executor.one_machine:
            return ready[0] if ready else None
        if any(map(self._is_alone, self.running)):
            return None
        if self.executor.slots == 1:
            return ready[0]
        # what must be alone waits for everything else
        beside = [cell for cell in ready if not self._is_alone(cell)]
        if beside:
            return beside[0]
        return None if self.running else ready[0]

    def _start(self, cell: Cell, attempt: int, reached: int = 0) -> None:
        folder = self.work.folder
        log = layout.log_file(folder, *cell.place)
        log.parent.mkdir(parents=True, exist_ok=True)
        layout.progress_file(folder, *cell.place).unlink(missing_ok=True)
        run = str(folder.absolute())
        words = [sys.executable, "-m", "harness", "cell", run, cell.name, *self.options]
        count = processes_of(self.work.plan, cell)
        task = Task(cell.name, words, Path.cwd(), {}, log.absolute(), self._is_alone(cell), count)
        if attempt == 1 and not reached:
            self.work.report.start(str(cell))
        before = read_end(folder, cell)
        self.running[cell] = _Running(self.executor.start(task), before, attempt, reached)

    def _is_alone(self, cell: Cell) -> bool:
        """Whether nothing may run beside it on its machine."""
        spread = self.executor.one_machine and processes_of(self.work.plan, cell) > 1
        return spread or is_timed(cell)

    def _look(self, cell: Cell) -> None:
        own, report = self.running[cell], self.work.report
        became = own.job.poll()
        progress = read_progress(layout.progress_file(self.work.folder, *cell.place))
        if became is None:
            if progress is not None:
                report.advance(progress.done, progress.total, progress.note, cell=str(cell))
            return
        del self.running[cell]
        end = read_end(self.work.folder, cell)
        if end is None or end == own.before:
            self._lost(cell, own, became or "ended without a word")
        elif end.status == "ok":
            self.work.done.add(cell)
            report.finish(str(cell), "ok")
        elif end.status == "interrupted":
            became = f"was interrupted ({end.error})"
            if progress is not None and progress.done > own.reached:  # not in vain
                self._again(cell, became, own.attempt, progress.done)
            else:
                self._lost(cell, own, became)
        else:
            self.work.failed.add(cell)
            report.finish(str(cell), f"failed: {end.error}")
        self.work.between()

    def _lost(self, cell: Cell, own: _Running, became: str) -> None:
        """Its process is gone, and the cell has no end."""
        if own.attempt <= self.work.plan.suite.executor.retries:
            self._again(cell, became, own.attempt + 1, own.reached)
            return
        log = layout.log_file(self.work.folder, *cell.place)
        times = f" ({own.attempt} attempts)" if own.attempt > 1 else ""
        said = read_tail(log)
        line = f"its process {became}{times}{said and f', last said: {said}'} (log in {log})"
        self.work.fail(cell, line)

    def _again(self, cell: Cell, became: str, attempt: int, reached: int) -> None:
        self.work.report.note(f"{cell}: its process {became}; it is started again")
        self._start(cell, attempt, reached)

    def _stop(self) -> None:
        """Every job saves and ends; what does not within a minute is killed."""
        for own in self.running.values():
            own.job.stop()
        until = time.monotonic() + GRACE_SECONDS
        while any(own.job.poll() is None for own in self.running.values()):
            if time.monotonic() > until:
                for own in self.running.values():
                    own.job.kill()
                until = float("inf")
            time.sleep(POLL_SECONDS)
