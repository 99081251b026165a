"""A whole run: from a plan to records, a table and a page."""

import json
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console

from harness.errors import CellError, ExitCode, Interrupted, UserError, near_names
from harness.files import write_text
from harness.plan.cells import Cell, Plan, catalog_of, name_stage
from harness.plan.joining import join_plans
from harness.plan.planner import resolved
from harness.plugin.catalog import Catalog
from harness.plugin.declarations import Stage
from harness.plugin.metrics import MetricSpec
from harness.records import layout
from harness.records.environment import Environment, describe_environment
from harness.records.measurement import Measurement
from harness.records.record import Record
from harness.records.store import RecordStore, latest
from harness.report.comparison_table import print_gates
from harness.report.page import write_page
from harness.report.summary import print_summary
from harness.report.terminal import note
from harness.results.run import Run, read_plan, read_run
from harness.run.checks import check_data, check_detectors, check_training, used_splits
from harness.run.detectors import Weighted, build_detector, load_trained
from harness.run.device_errors import explain_device_error
from harness.run.folder import create_folder, open_folder
from harness.run.gating import exit_code, judge_suite, missing_bases
from harness.run.launch import Launch, find_launch
from harness.run.memory import clear_away, keep_freed_memory
from harness.run.mode_choice import scope_of, settle_modes, with_scope
from harness.run.progress import Reporter, reporter
from harness.run.stages import StageRunner
from harness.stages.metrics import CELL_SECONDS, METRICS

SHARED_STAGES = ("train", "evaluate")  # the work of which all processes of a run take part in
# At least so long between two reports of a run that goes on: making one takes seconds, of the very
# machine that is being timed. `harness report RUN` makes one at any time.
REPORT_SECONDS = 300.0


def run_plan(plan: Plan, *, device: str, run_id: str | None, resume: bool, results: Path) -> int:
    """Run every cell that is not done, whatever becomes of the others.

    Returns:
        the exit code: 1 when a cell failed, else that of the suite's gates.

    Raises:
        UserError: the data, the device or the results folder are not usable, or the device does
            not have a mode.
        Interrupted: by a signal; what was measured is on disk and reported.
    """
    launch = find_launch(device)
    keep_freed_memory()
    plan, missing = settle_modes(plan, launch.device)
    for line in filter(None, (launch.note, missing)):
        if launch.is_main:
            note(line)
    with _sigterm_interrupts():
        check_training(plan, launch)
        plan.source.prepare()
        check_data(plan, launch)
        check_detectors(plan)
        session = _start(plan, launch, run_id, resume, results)
        for line in missing_bases(plan.suite) if launch.is_main else ():
            note(line)
        try:
            with reporter(len(plan.cells), quiet=not launch.is_main) as report:
                for (name, seed), cells in groupby(plan.cells, lambda c: (c.detector, c.seed)):
                    session.run_detector(name, seed, list(cells), report)
        except KeyboardInterrupt as stop:
            session.refresh_reports(note)
            continued = f"--resume --run-id {session.run_id} continues"
            raise Interrupted(_signal_of(stop), f"interrupted; {continued}") from stop
    if not launch.is_main:
        return int(session.exit_code)
    run = read_run(session.folder)
    gates = judge_suite(plan.suite.gates, run)
    run = replace(run, plan={**run.plan, "gates": [gate.to_json() for gate in gates]})
    _write_json(session.folder / layout.PLAN, run.plan)
    session.write_reports(run)
    console = Console()
    print_summary(run, console)
    print_gates([result for gate in gates for result in gate.results], console)
    return int(session.exit_code or exit_code(gates))


def _start(
    plan: Plan, launch: Launch, run_id: str | None, resume: bool, results: Path
) -> "Session":
    """Open the run's folder and write down what is going to be done, and on what."""
    folder = _open(plan, launch, run_id, resume, results)
    environment = describe_environment()
    if launch.is_main:
        splits = {split.name: split for split in used_splits(plan)}
        places = {
            name: {"images": split.images.absolute(), "annotations": split.annotations.absolute()}
            for name, split in splits.items()
        }
        metrics = _catalog(plan).to_json()
        own = {"format": layout.FORMAT, **resolved(plan), "splits": places, "metrics": metrics}
        path = folder / layout.PLAN
        _write_json(path, join_plans(read_plan(path), own) if path.is_file() else own)
        _write_json(layout.environment_file(folder, environment.id), environment.to_dict())
    stages = StageRunner(plan, launch, resume)
    return Session(plan, launch, folder, environment, stages, _catalog(plan))


def _write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, default=str) + "\n")


def _catalog(plan: Plan) -> Catalog:
    """Of meters and stages."""
    return plan.catalog.joined(METRICS)


def _signal_of(stop: KeyboardInterrupt) -> int:
    return stop.signum if isinstance(stop, Interrupted) else signal.SIGINT


@dataclass
class Session:
    """What the cells of a run share, and whether one has failed."""

    plan: Plan
    launch: Launch
    folder: Path
    environment: Environment
    stages: StageRunner
    catalog: Catalog
    failed: bool = False
    reported: float = field(default_factory=time.monotonic)

    @property
    def run_id(self) -> str:
        return self.folder.name

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.CELL_FAILED if self.failed else ExitCode.OK

    @property
    def records(self) -> RecordStore:
        return RecordStore(self.folder / layout.RECORDS)

    def run_detector(self, name: str, seed: int, cells: list[Cell], report: Reporter) -> None:
        """Build a detector once and take it through its stages; a failure stays its own."""
        checkpoint = layout.cell_folder(self.folder, name, seed) / layout.CHECKPOINT
        weighted: Weighted | None = None
        for cell in cells:
            report.start(str(cell))
            if cell.stage not in SHARED_STAGES and not self.launch.is_main:
                continue
            try:
                clear_away(self.launch.device)
                if weighted is None:
                    weighted = self._detector(name, seed, cells, checkpoint)
                if self._is_done(cell, weighted):
                    report.finish(str(cell), "kept")
                    continue
                weighted = self._run_cell(cell, weighted, report)
            except KeyboardInterrupt:
                self._record_end(cell, "interrupted", "by a signal; --resume continues")
                raise
            except (Exception, SystemExit) as error:  # a bug of a plugin is its cell's alone
                line = self._explain(cell, error)
                self._record_failure(cell, line)
                report.finish(str(cell), f"failed: {line}")
                if self.launch.world > 1:
                    raise  # the other processes wait for this one: torchrun must end them all
                if cell.stage == "train" or weighted is None:
                    return self._skip(cells[cells.index(cell) + 1 :], report)
            else:  # an interruption from here on belongs to no cell
                if time.monotonic() - self.reported >= REPORT_SECONDS:
                    self.refresh_reports(report.note)
                    self.reported = time.monotonic()
        return None

    def _explain(self, cell: Cell, error: BaseException) -> str:
        """One line; of what nobody foresaw, the traceback goes to the cell's folder."""
        if isinstance(error, CellError | UserError):
            return str(error)
        known = explain_device_error(error, cell, self._batch_size(cell))
        if known is not None:
            return known
        folder = layout.cell_folder(self.folder, cell.detector, cell.seed)
        path = layout.error_file(folder, name_stage(cell.stage, cell.mode))
        if self.launch.is_main:
            write_text(path, "".join(traceback.format_exception(error)))
        what = " ".join(str(error).split())[:300]
        return f"{type(error).__name__}: {what} (traceback in {path})"

    def _batch_size(self, cell: Cell) -> int | None:
        """Images at once, None in a stage that takes one."""
        suite = self.plan.suite
        sizes = {
            "train": suite.detectors[cell.detector].train.batch_size,
            "evaluate": suite.evaluate.batch_size,
            "latency": suite.latency.batch_size,
        }
        return sizes.get(cell.stage)

    def _detector(self, name: str, seed: int, cells: list[Cell], checkpoint: Path) -> Weighted:
        built = build_detector(self.plan, name, seed)
        trains = any(cell.stage == "train" for cell in cells)
        if not trains and checkpoint.is_file():
            return load_trained(built, checkpoint)
        return built

    def _run_cell(self, cell: Cell, weighted: Weighted, report: Reporter) -> Weighted:
        started = time.time()
        folder = layout.cell_folder(self.folder, cell.detector, cell.seed)
        measured, weighted = self.stages.run(cell, weighted, folder, report.advance)
        seconds = Measurement(CELL_SECONDS, time.time() - started)
        self._record(cell, [*measured, seconds], weighted.weights)
        report.finish(str(cell), "ok")
        return weighted

    def _is_done(self, cell: Cell, weighted: Weighted) -> bool:
        """Measured before, in this folder, of the same fingerprint and the same weights."""
        if cell.stage == "train" or not self.stages.resume:
            return False
        place = (cell.detector, cell.seed, cell.stage, cell.mode)
        before = [
            r for r in latest(self.records.read()) if (r.detector, r.seed, r.stage, r.mode) == place
        ]
        devices = {r.conditions.get("device_type") for r in before} - {None}
        return (
            bool(before)
            and before[-1].status == "ok"
            and before[-1].fingerprint == cell.fingerprint
            and before[-1].weights == weighted.weights
            and devices <= {self.launch.device.type}
        )

    def _skip(self, cells: Iterable[Cell], report: Reporter) -> None:
        for cell in cells:
            self._record_failure(cell, "not run: an earlier stage of this detector failed")
            report.start(str(cell))
            report.finish(str(cell), "not run")

    def _record(self, cell: Cell, measured: list[Measurement], weights: str) -> None:
        if self.launch.is_main:
            common = self._common(cell, weights)
            if cell.mode:
                before = latest(self.records.read())
                measured = with_scope(measured, scope_of(cell, self.plan, before))
            done = Record(kind="cell", status="ok", **common)
            made = [Record.of(m, self._spec(m, cell.stage), **common) for m in measured]
            self.records.append([*made, done])

    def _spec(self, measured: Measurement, stage: Stage) -> MetricSpec:
        """What the number is, as whoever measured it declares it.

        Raises:
            CellError: nobody does.
        """
        found = self.catalog.specs.get(measured.metric)
        if found is None:
            known = near_names(measured.metric, list(catalog_of(self.plan.meters_of(stage)).specs))
            raise CellError(
                f"a meter wrote the metric '{measured.metric}', which no meter of this stage "
                f"declares ({known})"
            )
        return found

    def _record_failure(self, cell: Cell, error: str) -> None:
        self.failed = True
        self._record_end(cell, "failed", error)

    def _record_end(self, cell: Cell, status: str, error: str) -> None:
        if self.launch.is_main:
            record = Record(kind="cell", status=status, error=error, **self._common(cell, ""))
            self.records.append([record])

    def _common(self, cell: Cell, weights: str) -> dict[str, Any]:
        return {
            "run": self.run_id,
            "detector": cell.detector,
            "seed": cell.seed,
            "stage": cell.stage,
            "mode": cell.mode,
            "fingerprint": cell.fingerprint,
            "time": time.time(),
            "environment": self.environment.id,
            "weights": weights,
        }

    def refresh_reports(self, tell: Callable[[str], None]) -> None:
        """What was measured is in the records: a page that cannot be made harms no cell.

        At the end of a whole run the same mistake is raised.
        """
        try:
            if self.launch.is_main:
                self.write_reports(read_run(self.folder))
        except Exception as error:
            tell(f"the report was not written: {type(error).__name__}: {error}")

    def write_reports(self, run: Run) -> None:
        """results.csv and report.html, anew from all records."""
        write_text(self.folder / layout.TABLE, run.frame.to_csv(index=False))
        write_page(self.folder / layout.PAGE, run)


def _open(plan: Plan, launch: Launch, run_id: str | None, resume: bool, results: Path) -> Path:
    """Only the first process makes a folder; the others are told its name."""
    suite = plan.suite.suite
    if resume:
        found = open_folder(results, suite, run_id)
        return found.with_name(launch.agree(found.name))
    new = datetime.now().strftime("%Y%m%d-%H%M%S")
    name = launch.agree(new if run_id is None else run_id)
    if launch.is_main:
        return create_folder(results, suite, name)
    return results / suite / name


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Outside training, which has its own way, SIGTERM stops a run as Ctrl-C does."""

    def interrupt(signum: int, frame: object) -> None:
        raise Interrupted(signum, "terminated")

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
