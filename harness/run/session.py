"""A whole run: from a plan to records, a table and a page."""

import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console

from harness.data.folder import check_split
from harness.errors import CellError, ExitCode, UserError
from harness.files import write_text
from harness.plan.cells import Cell, Plan
from harness.plan.planner import resolved
from harness.records.environment import Environment, describe_environment
from harness.records.frame import latest, to_frame
from harness.records.measurement import Measurement
from harness.records.record import Record
from harness.report.page import write_page
from harness.report.summary import print_summary
from harness.run.detectors import Weighted, build_detector, load_trained
from harness.run.folder import RunFolder, create_folder, open_folder
from harness.run.launch import Launch, find_launch
from harness.run.progress import Reporter, reporter
from harness.run.stages import StageRunner
from harness.stages.train.state import CHECKPOINT

SHARED_STAGES = ("train", "evaluate")  # the work of which all processes of a run take part in


def run_plan(plan: Plan, *, device: str, run_id: str | None, resume: bool, results: Path) -> int:
    """Run every cell that is not done, whatever becomes of the others.

    Returns:
        the exit code: 0, or 1 when a cell failed.

    Raises:
        UserError: the data, the device or the results folder are not usable.
        KeyboardInterrupt: by a signal; what was measured is on disk and reported.
    """
    launch = find_launch(device)
    plan.source.prepare()
    _check_data(plan, launch)
    folder = _open(plan, launch, run_id, resume, results)
    environment = describe_environment()
    if launch.is_main:
        folder.write_json("plan.json", resolved(plan))
        folder.write_json("environment.json", environment.to_dict())
    session = Session(plan, launch, folder, environment, StageRunner(plan, launch, resume))
    try:
        with reporter(len(plan.cells), quiet=not launch.is_main) as report, _sigterm_interrupts():
            for (name, seed), cells in groupby(plan.cells, lambda c: (c.detector, c.seed)):
                session.run_detector(name, seed, list(cells), report)
    except KeyboardInterrupt:
        if launch.is_main:
            print(
                f"harness: interrupted; continue with --resume --run-id {folder.run_id}",
                file=sys.stderr,
            )
        raise
    finally:
        session.write_reports()
    if launch.is_main:
        print_summary(folder.records.read(), plan, folder.path, Console())
    return int(ExitCode.CELL_FAILED if session.failed else ExitCode.OK)


@dataclass
class Session:
    """What the cells of a run share, and whether one has failed."""

    plan: Plan
    launch: Launch
    folder: RunFolder
    environment: Environment
    stages: StageRunner
    failed: bool = False

    def run_detector(self, name: str, seed: int, cells: list[Cell], report: Reporter) -> None:
        """Build a detector once and take it through its stages; a failure stays its own."""
        checkpoint = self.folder.cell(name, seed) / CHECKPOINT
        weighted: Weighted | None = None
        for cell in cells:
            report.start(str(cell))
            if cell.stage not in SHARED_STAGES and not self.launch.is_main:
                continue
            try:
                if weighted is None:
                    weighted = self._detector(name, seed, cells, checkpoint)
                if self._is_done(cell, weighted):
                    report.finish(str(cell), "kept")
                    continue
                weighted = self._run_cell(cell, weighted, report)
            except (CellError, UserError) as error:
                self._record_failure(cell, str(error))
                report.finish(str(cell), f"failed: {error}")
                if cell.stage == "train":
                    return self._skip(cells[cells.index(cell) + 1 :], report)
                if weighted is None:
                    return self._skip(cells[cells.index(cell) + 1 :], report)
        return None

    def _detector(self, name: str, seed: int, cells: list[Cell], checkpoint: Path) -> Weighted:
        built = build_detector(self.plan, name, seed)
        trains = any(cell.stage == "train" for cell in cells)
        if not trains and checkpoint.is_file():
            return load_trained(built, checkpoint)
        return built

    def _run_cell(self, cell: Cell, weighted: Weighted, report: Reporter) -> Weighted:
        started = time.time()
        folder = self.folder.cell(cell.detector, cell.seed)
        measured, weighted = self.stages.run(cell, weighted, folder, report.advance)
        seconds = Measurement("cell_seconds", time.time() - started, "s", False)
        self._record(cell, [*measured, seconds], weighted.weights)
        report.finish(str(cell), "ok")
        return weighted

    def _is_done(self, cell: Cell, weighted: Weighted) -> bool:
        """Measured before, in this folder, of the same fingerprint and the same weights."""
        if cell.stage == "train" or not self.stages.resume:
            return False
        return any(
            r.kind == "cell" and r.status == "ok" and r.fingerprint == cell.fingerprint
            and r.weights == weighted.weights
            for r in latest(self.folder.records.read())
        )  # fmt: skip

    def _skip(self, cells: Iterable[Cell], report: Reporter) -> None:
        for cell in cells:
            self._record_failure(cell, "not run: an earlier stage of this detector failed")
            report.start(str(cell))
            report.finish(str(cell), "not run")

    def _record(self, cell: Cell, measured: list[Measurement], weights: str) -> None:
        if self.launch.is_main:
            common = self._common(cell, weights)
            done = Record(kind="cell", status="ok", **common)
            self.folder.records.append([*(Record.of(m, **common) for m in measured), done])
            self.write_reports()

    def _record_failure(self, cell: Cell, error: str) -> None:
        self.failed = True
        if self.launch.is_main:
            record = Record(kind="cell", status="failed", error=error, **self._common(cell, ""))
            self.folder.records.append([record])

    def _common(self, cell: Cell, weights: str) -> dict[str, Any]:
        return {
            "run": self.folder.run_id,
            "detector": cell.detector,
            "seed": cell.seed,
            "stage": cell.stage,
            "fingerprint": cell.fingerprint,
            "time": time.time(),
            "environment": self.environment.id,
            "weights": weights,
        }

    def write_reports(self) -> None:
        """results.csv and report.html, anew from all records."""
        if not self.launch.is_main:
            return
        records = self.folder.records.read()
        write_text(self.folder.table, to_frame(records).to_csv(index=False))
        write_page(self.folder.page, records, self.plan, self.environment)


def _open(plan: Plan, launch: Launch, run_id: str | None, resume: bool, results: Path) -> RunFolder:
    """Only the first process makes a folder; the others are told its name."""
    suite = plan.suite.suite
    if resume:
        return open_folder(results, suite, run_id)
    name = launch.agree(run_id or datetime.now().strftime("%Y%m%d-%H%M%S"))
    if launch.is_main:
        return create_folder(results, suite, name)
    return RunFolder(results / suite / name)


def _check_data(plan: Plan, launch: Launch) -> None:
    """Find wrong annotations and missing files before anything is trained."""
    names = ["train", "val"] if "train" in plan.suite.stages else ["val"]
    for name in names:
        split = plan.source.split(name)  # type: ignore[arg-type]
        for warning in check_split(split):
            if launch.is_main:
                print(f"harness: note: {warning}", file=sys.stderr)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Outside training, which has its own way, SIGTERM stops a run as Ctrl-C does."""

    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
