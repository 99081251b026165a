"""One cell of a run from the run's folder alone: what executors start, on any machine."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from harness.errors import ExitCode, UserError, near_names
from harness.plan.calls import find_cell, plan_call, read_call
from harness.plan.cells import Cell
from harness.records import layout
from harness.results.run_folder import read_plan
from harness.run.cell_runner import CellRunner, fail_cell
from harness.run.launch import end_with_parent, find_launch, sigterm_interrupts
from harness.run.memory import keep_freed_memory
from harness.run.mode_choice import settle_modes
from harness.run.progress import reporter
from harness.run.spreading import LAUNCHER, check_gpus, processes_of, spread_cell


def run_cell(folder: Path, name: str, *, device: str, plugins: Sequence[str]) -> int:
    """Run a cell as its last call planned it, and write its records.

    Relative paths of the plan start where the run was called.

    Args:
        name: as `harness.plan.cells.Cell.name`.
        plugins: modules or files, as `-p`; those of the call.

    Returns:
        the exit code: 1 when the cell failed.

    Raises:
        UserError: there is no such cell, it cannot be made again on this machine, or another
            process works on it.
    """
    folder, plugins = folder.absolute(), [_absolute(plugin) for plugin in plugins]
    plan_file = folder / layout.PLAN
    planned = {Cell.of(plain).name: plain for plain in read_plan(plan_file)["cells"]}
    if name not in planned:
        hint = near_names(name, list(planned))
        raise UserError(f"has no cell '{name}'", where=plan_file, hint=hint)
    where = layout.call_file(folder, planned[name]["call"])
    call = read_call(where)
    os.chdir(call.directory)
    if LAUNCHER in os.environ:
        end_with_parent(signal.SIGTERM)
    with sigterm_interrupts():
        try:
            plan = plan_call(call, plugins, where)
            cell = find_cell(plan, name, planned[name]["fingerprint"], where)
            plan.source.prepare()
            launch = find_launch(device)
            plan, missing = settle_modes(plan, launch.device)
            if cell not in plan.cells:
                raise UserError(missing, where=name)
            count = processes_of(plan, cell)
            check_gpus(count, launch, f"detectors.{cell.detector}.train.gpus")
        except UserError as error:  # whoever waits for the cell need not try again
            if os.environ.get("RANK", "0") == "0":
                fail_cell(folder, Cell.of(planned[name]), str(error))
            raise
        if count > 1 and launch.world == 1:
            options = [word for plugin in plugins for word in ("-p", plugin)]
            words = ["-m", "harness", "cell", str(folder), name, "--device", device, *options]
            return spread_cell(folder, cell, count, words)
        keep_freed_memory()
        with reporter(1, quiet=not launch.is_main) as report:
            failed = CellRunner(plan, launch, folder).run(cell, report)
    return ExitCode.CELL_FAILED if failed else ExitCode.OK


def _absolute(plugin: str) -> str:
    return str(Path(plugin).absolute()) if plugin.endswith(".py") else plugin
