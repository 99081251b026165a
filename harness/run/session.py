"""A whole run: from a plan to records, a table and a page."""

import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from harness.errors import ExitCode, Interrupted, UserError
from harness.files import write_json, write_text
from harness.plan.calls import make_call
from harness.plan.cells import Cell, Plan
from harness.plugin.registry import Registry
from harness.records import layout
from harness.records.about import About, read_about, write_about
from harness.records.locks import locked
from harness.report.terminal import note
from harness.results.run import Run
from harness.results.run_folder import read_plan, read_run
from harness.run.cell_runner import CellRunner, find_done
from harness.run.checks import check_data, check_detectors, check_training
from harness.run.executing import Work, run_here, run_jobs
from harness.run.folder import create_folder, open_folder, register_call
from harness.run.jobs import Executor
from harness.run.launch import Launch, find_launch, sigterm_interrupts
from harness.run.memory import keep_freed_memory
from harness.run.mode_choice import settle_modes
from harness.run.progress import reporter
from harness.run.spreading import check_processes
from harness.run.tracking import check_trackers

# At least so long between two reports of a run that goes on: making one takes seconds, of the very
# machine that is being timed. `harness report RUN` makes one at any time.
REPORT_SECONDS = 300.0
INLINE = "inline"


def run_plan(
    plan: Plan,
    registry: Registry,
    *,
    plugins: Sequence[str],
    device: str,
    run_id: str | None,
    resume: bool,
    results: Path,
    about: About,
) -> int:
    """Run every cell that is not done, whatever becomes of the others.

    Args:
        plugins: what `-p` named, for the processes that run single cells.
        about: a note, which replaces an earlier one, and tags, which are added.

    Returns:
        the exit code: 1 when a cell failed, else that of the suite's gates.

    Raises:
        UserError: the data, the device or the results folder are not usable, the device does
            not have a mode, or another process runs some of the cells.
        Interrupted: by a signal; what was measured is on disk and reported.
    """
    executor = _executor(plan)
    elsewhere = executor is not None and not executor.one_machine
    # of machines on which cells will run, the calling one knows nothing
    launch = find_launch("cpu" if elsewhere else device)
    if executor is not None and launch.world > 1:
        raise UserError(
            f"'{plan.suite.executor.use}' starts processes of its own",
            where="executor",
            hint="without torchrun, or with executor inline",
        )
    keep_freed_memory()
    with sigterm_interrupts(), ExitStack() as held:
        plan = _check(plan, launch, elsewhere, inline=executor is None)
        place = (launch, results, plan.suite.suite, run_id)
        earlier = open_folder(*place) if resume else None
        here = None if elsewhere else launch.device.type
        done = find_done(plan, earlier, here) if earlier is not None else set()
        check_detectors(plan, {cell.detector for cell in plan.cells if cell not in done}, launch)
        folder = create_folder(*place) if earlier is None else earlier
        if launch.is_main:
            call = make_call(plan, registry, plugins, device, sys.argv, time.time())
            same_plan = held.enter_context(register_call(plan, call, folder))
            _say_about(folder, about)
            if same_plan and _is_over(plan, folder, done):
                print(f"all {len(done)} cells were measured before: nothing is left to run")
                print(f"report: {folder / layout.PAGE}")
                return int(ExitCode.OK)
            _tell_missing_bases(plan)
        options = [word for plugin in plugins for word in ("-p", plugin)]
        failed = _run_cells(plan, launch, folder, done, executor, [*options, "--device", device])
    code = ExitCode.CELL_FAILED if failed else ExitCode.OK
    return int(_finish(plan, folder, code) if launch.is_main else code)


def _say_about(folder: Path, about: About) -> None:
    if about != About():
        before = read_about(folder)
        write_about(folder, replace(before, note=about.note or before.note).with_tags(about.tags))


def _run_cells(
    plan: Plan,
    launch: Launch,
    folder: Path,
    done: set[Cell],
    executor: Executor | None,
    options: Sequence[str],
) -> bool:
    """Run those that are not done, here or as jobs of an executor; whether one failed.

    Raises:
        Interrupted: by a signal; what was measured is reported.
    """
    reports = Reports(folder, launch.is_main)
    try:
        reports.begin(note)
        with reporter(len(plan.cells), quiet=not launch.is_main) as report:
            work = Work(plan, folder, done, report, lambda: reports.refresh_if_due(report.note))
            if executor is None:
                return run_here(work, CellRunner(plan, launch, folder))
            return run_jobs(work, executor, options)
    except KeyboardInterrupt as stop:
        reports.refresh(note, goes_on=False)
        continued = f"--resume --run-id {folder.name} continues"
        signum = getattr(stop, "signum", signal.SIGINT)
        raise Interrupted(signum, f"interrupted; {continued}") from stop


def _executor(plan: Plan) -> Executor | None:
    """None is this process."""
    part = plan.executor
    if part is None or part.declaration.name == INLINE:
        return None
    made: Executor = part.make()
    return made


def _check(plan: Plan, launch: Launch, elsewhere: bool, inline: bool) -> Plan:
    """The plan without the modes that the device lacks, if it can be run.

    Args:
        elsewhere: cells run on other machines, whose devices are not looked at.
        inline: they run in this process.

    Raises:
        UserError: the device or the data does not fit the plan.
    """
    if not elsewhere:
        plan, missing = settle_modes(plan, launch.device)
        for line in filter(None, (launch.note, missing)):
            if launch.is_main:
                note(line)
        check_training(plan, launch)
        check_processes(plan, launch, inline)
    check_trackers(plan, launch)
    plan.source.prepare()
    check_data(plan, launch)
    return plan


def _is_over(plan: Plan, folder: Path, done: set[Cell]) -> bool:
    """Whether every cell is done and the reports say so.

    Gates are judged again each time, as what they are against may have changed.
    """
    if len(done) < len(plan.cells) or plan.suite.gates:
        return False
    try:
        made = min((folder / name).stat().st_mtime for name in (layout.TABLE, layout.PAGE))
    except FileNotFoundError:
        return False
    places = {(cell.detector, cell.seed) for cell in plan.cells}
    folders = (layout.cell_folder(folder, *place) / layout.RECORDS for place in places)
    # a records file is replaced whole, which its folder remembers
    return all(path.stat().st_mtime <= made for path in folders)


def _tell_missing_bases(plan: Plan) -> None:
    if plan.suite.gates:
        from harness.run.gating import missing_bases

        for line in missing_bases(plan.suite):
            note(line)


def _finish(plan: Plan, folder: Path, code: ExitCode) -> ExitCode:
    """Gates, reports and the table.

    What makes them is loaded now: a call that finds everything done has no use for it.
    """
    from harness.report.comparison_table import print_gates
    from harness.report.summary import print_summary
    from harness.run.gating import exit_code, judge_suite

    run = read_run(folder)
    gates = judge_suite(plan.suite.gates, run)
    with locked(folder / layout.PLAN_LOCK, "the plan", wait=True):
        path = folder / layout.PLAN
        kept = {**read_plan(path), "gates": [gate.to_json() for gate in gates]}
        write_json(path, kept)
    run = replace(run, plan=kept)
    write_reports(run)
    console = Console()
    print_summary(run, console)
    print_gates([result for gate in gates for result in gate.results], console)
    return code or exit_code(gates)


@dataclass
class Reports:
    """results.csv and report.html while a run goes on, from its first second."""

    folder: Path
    is_main: bool
    made: float = field(default_factory=time.monotonic)

    def begin(self, tell: Callable[[str], None]) -> None:
        if not (self.folder / layout.PAGE).is_file():
            self.refresh(tell)

    def refresh_if_due(self, tell: Callable[[str], None]) -> None:
        if time.monotonic() - self.made >= REPORT_SECONDS:
            self.refresh(tell)
            self.made = time.monotonic()

    def refresh(self, tell: Callable[[str], None], goes_on: bool = True) -> None:
        """What was measured is in the records: a page that cannot be made harms no cell.

        At the end of a whole run the same mistake is raised.
        """
        try:
            if self.is_main:
                write_reports(read_run(self.folder), goes_on)
        except Exception as error:
            tell(f"the report was not written: {type(error).__name__}: {error}")


def write_reports(run: Run, goes_on: bool = False) -> None:
    """Rewrite results.csv and report.html from all records."""
    from harness.report.page import write_page

    write_text(run.folder / layout.TABLE, run.frame.to_csv(index=False))
    write_page(run.folder / layout.PAGE, run, goes_on)
