"""One cell: builds its detector, runs its stage, and writes how it ended."""

import time
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import CellError, UserError, near_names
from harness.files import hash_file, write_json, write_text
from harness.plan.cells import Cell, Plan, catalog_of
from harness.plugin.declarations import Stage
from harness.plugin.metrics import MetricSpec
from harness.records import layout
from harness.records.environment import Environment, describe_environment
from harness.records.locks import locked
from harness.records.measurement import Measurement
from harness.records.record import Record
from harness.records.store import latest, read_records, read_success, write_records
from harness.run.detectors import Weighted, build_detector, load_trained
from harness.run.device_errors import explain_device_error
from harness.run.launch import Launch, tell_torchrun
from harness.run.memory import clear_away
from harness.run.mode_choice import scope_of, with_scope
from harness.run.progress import Reporter, Written
from harness.run.stages import StageRunner
from harness.run.tracking import Tracking
from harness.stages.collecting import set_aside
from harness.stages.metrics import CELL_SECONDS, METRICS

SKIPPED = "not run: an earlier stage of this detector failed"
SHARED_STAGES = ("train", "evaluate")  # the work of which all processes of a run take part in


@dataclass
class CellRunner:
    """Runs cells in this process, one after the other.

    The detector of the last cell is kept, as the next cell is mostly of the same.
    """

    plan: Plan
    launch: Launch
    folder: Path
    environment: Environment = field(default_factory=describe_environment)
    _kept: tuple[str, int, Weighted] | None = None

    def __post_init__(self) -> None:
        set_aside()
        self.stages = StageRunner(self.plan, self.launch)
        self.tracking = Tracking(self.plan, self.launch)
        self.catalog = self.plan.catalog.joined(METRICS)
        if self.launch.is_main:
            path = layout.environment_file(self.folder, self.environment.id)
            if not path.is_file():
                write_json(path, self.environment.to_dict())

    def run(self, cell: Cell, report: Reporter) -> str:
        """Run a cell and write down what came of it.

        Returns:
            "", or why it failed, in one line.

        Raises:
            UserError: another process is working on the cell, or its end cannot be written.
            Interrupted, KeyboardInterrupt: by a signal, which is in the cell's records.
        """
        if cell.stage not in SHARED_STAGES and not self.launch.is_main:
            return ""
        if self.launch.is_main:
            report = Written(layout.progress_file(self.folder, *cell.place), report)
        with lock_cell(self.folder, cell) if self.launch.is_main else nullcontext():
            report.start(str(cell))
            try:
                clear_away(self.launch.device)
                self._run(cell, report)
            except KeyboardInterrupt:
                self._end(cell, "interrupted", "by a signal; --resume continues")
                raise
            except (Exception, SystemExit) as error:  # a bug of a plugin is its cell's alone
                line = self._explain(cell, error)
                self._end(cell, "failed", line)
                report.finish(str(cell), f"failed: {line}")
                if self.launch.world > 1:
                    tell_torchrun(line)
                    raise  # the other processes wait for this one: torchrun must end them all
                return line
        report.finish(str(cell), "ok")
        return ""

    def _end(self, cell: Cell, status: str, error: str) -> None:
        if self.launch.is_main:
            write_end(self.folder, cell, status, error, self.environment.id)

    def _run(self, cell: Cell, report: Reporter) -> None:
        from_file = self.plan.suite.detectors[cell.detector].detections is not None
        weighted = None if from_file else self._detector(cell)
        started = time.monotonic()
        folder = layout.cell_folder(self.folder, cell.detector, cell.seed)
        with self.tracking.cell(self.folder, cell, report.note) as tracked:
            if weighted is None:
                measured, weights = self.stages.score_file(cell, folder)
            else:
                measured, weighted = self.stages.run(
                    cell, weighted, folder, report.advance, tracked.log
                )
                self._kept, weights = (cell.detector, cell.seed, weighted), weighted.weights
            measured = [*measured, Measurement(CELL_SECONDS, time.monotonic() - started)]
            self._record(cell, measured, weights)
            tracked.log_measured(measured)

    def _detector(self, cell: Cell) -> Weighted:
        kept, self._kept = self._kept, None  # whatever a failing cell leaves of it
        if kept is not None and kept[:2] == (cell.detector, cell.seed):
            return kept[2]
        built = build_detector(self.plan, cell.detector, cell.seed)
        checkpoint = layout.cell_folder(self.folder, cell.detector, cell.seed) / layout.CHECKPOINT
        if cell.stage != "train" and checkpoint.is_file():
            return load_trained(built, checkpoint)
        return built

    def _record(self, cell: Cell, measured: Sequence[Measurement], weights: str) -> None:
        if not self.launch.is_main:
            return
        common = {
            **_common(self.folder, cell),
            "environment": self.environment.id,
            "weights": weights,
        }
        if cell.mode:
            measured = with_scope(measured, scope_of(cell, self.plan, self._other_modes(cell)))
        made = [Record.of(m, self._spec(m, cell.stage), **common) for m in measured]
        write_records(self.folder, [*made, Record(kind="cell", status="ok", **common)])

    def _other_modes(self, cell: Cell) -> list[Record]:
        """What was measured of this detector under this seed in all modes."""
        folder = layout.records_file(self.folder, *cell.place).parent
        return [r for path in sorted(folder.glob("*.jsonl")) for r in latest(read_records(path))]

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

    def _explain(self, cell: Cell, error: BaseException) -> str:
        """One line; of what nobody foresaw, the traceback goes to the cell's folder."""
        if isinstance(error, CellError | UserError):
            return str(error)
        known = explain_device_error(error, cell, self._batch_size(cell))
        if known is not None:
            return known
        folder = layout.cell_folder(self.folder, cell.detector, cell.seed)
        path = layout.error_file(folder, cell.stage, cell.mode)
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


def is_timed(cell: Cell) -> bool:
    """Whether anything else on its machine would spoil its numbers."""
    return cell.stage == "latency"


def lock_cell(folder: Path, cell: Cell) -> AbstractContextManager[None]:
    """Held by whoever writes the files of a cell; UserError where another process does."""
    path = layout.records_file(folder, *cell.place).with_suffix(".lock")
    return locked(path, f"the cell {cell.name}")


def fail_cell(folder: Path, cell: Cell, error: str) -> None:
    """Write for a cell that no process works on why it failed.

    Raises:
        UserError: a process does work on it, or the folder cannot be written to.
    """
    with lock_cell(folder, cell):
        write_end(folder, cell, "failed", error)


def write_end(folder: Path, cell: Cell, status: str, error: str, environment: str = "") -> None:
    """Write that a cell, whose lock is held, did not come to a good end.

    Raises:
        UserError: the folder cannot be written to.
    """
    common = {**_common(folder, cell), "environment": environment}
    write_records(folder, [Record(kind="cell", status=status, error=error, **common)])


def _common(folder: Path, cell: Cell) -> dict[str, Any]:
    return {
        "run": folder.name,
        "detector": cell.detector,
        "seed": cell.seed,
        "stage": cell.stage,
        "mode": cell.mode,
        "fingerprint": cell.fingerprint,
        "time": time.time(),
    }


def read_end(folder: Path, cell: Cell) -> Record | None:
    """How the last attempt of a cell ended, None before there was one.

    Raises:
        UserError: the file is not one of records.
    """
    path = layout.records_file(folder, *cell.place)
    ends = [r for r in read_records(path) if r.kind == "cell"] if path.is_file() else []
    return ends[-1] if ends else None


def find_done(plan: Plan, folder: Path, device: str | None) -> set[Cell]:
    """Cells that were measured before, of the same fingerprint and the same weights.

    Args:
        device: type of the device that would measure now; None where it is not known here.
    """
    done: set[Cell] = set()
    weights: dict[tuple[str, int], str] = {}
    for cell in plan.cells:
        found = read_success(layout.records_file(folder, *cell.place))
        if found is None or found.fingerprint != cell.fingerprint:
            continue
        place = (cell.detector, cell.seed)
        if place not in weights:
            weights[place] = _weights(plan, folder, *place)
        if found.weights == weights[place] and (device is None or found.devices <= {device}):
            done.add(cell)
    return done


def _weights(plan: Plan, folder: Path, detector: str, seed: int) -> str:
    """Hash of the weights, or of the detections, that a detector would be measured with."""
    trained = layout.cell_folder(folder, detector, seed) / layout.CHECKPOINT
    if trained.is_file():
        return hash_file(trained)
    spec = plan.suite.detectors[detector]
    named = spec.detections or spec.checkpoint
    return "" if named is None else hash_file(Path(named))
