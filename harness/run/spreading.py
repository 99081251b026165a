"""A training over several processes, one for each GPU, started as torchrun starts them."""

import os
import signal
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from harness.errors import CellError, ExitCode, Interrupted, UserError
from harness.plan.cells import Cell, Plan
from harness.run.cell_runner import fail_cell, lock_cell, read_end, write_end
from harness.run.launch import Launch

LAUNCHER = "HARNESS_LAUNCHER"  # the id of the process that has started one of several
TORCHS_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
TOLD_TO_END = (-signal.SIGTERM, 128 + signal.SIGTERM)
# what a process says that has lost a neighbour
ECHOES = ("closed by peer", "reset by peer", "DistBackendError", "Broken pipe", "NCCL", "gloo")


def processes_of(plan: Plan, cell: Cell) -> int:
    """How many the plan wants for a cell."""
    wanted = plan.suite.detectors[cell.detector].train.gpus
    return wanted if cell.stage == "train" and wanted is not None else 1


def check_processes(plan: Plan, launch: Launch, inline: bool) -> None:
    """Of all trainings of a run on this machine.

    Args:
        inline: they take place in this process and those that torchrun has started beside it.

    Raises:
        UserError: one of them wants another number of processes, or more than there are GPUs.
    """
    for cell in (cell for cell in plan.cells if cell.stage == "train"):
        wanted, where = processes_of(plan, cell), f"detectors.{cell.detector}.train.gpus"
        if not inline:
            check_gpus(wanted, launch, where)
        elif plan.suite.detectors[cell.detector].train.gpus not in (None, launch.world):
            raise UserError(
                f"wants {wanted} processes, but the executor 'inline' has {launch.world}",
                where=where,
                hint=f"--jobs 1 starts {wanted} for this cell; so does torchrun --nproc-per-node "
                f"{wanted} for the whole run",
            )


def check_gpus(count: int, launch: Launch, where: str) -> None:
    """Raises:
    UserError: there are fewer GPUs than processes that want one each.
    """
    if launch.device.type == "cuda" and count > torch.cuda.device_count():
        raise UserError(
            f"wants {count} GPUs, and there are {torch.cuda.device_count()} here",
            where=where,
            hint="CUDA_VISIBLE_DEVICES may hide some; --device cpu takes processors",
        )


def spread_cell(folder: Path, cell: Cell, count: int, words: Sequence[str]) -> int:
    """Run a cell in several processes of this machine and wait for them.

    Args:
        count: of the processes.
        words: the command of each of them, `harness cell ...`, behind the interpreter.

    Returns:
        the exit code: 1 when the cell failed.

    Raises:
        Interrupted: by a signal, which the processes were told.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    before = read_end(folder, cell)
    os.environ |= _variables(count)
    try:
        with _own_handlers_kept():
            elastic_launch(config, sys.executable)(*words)
    except SignalException as stop:
        signum = signal.Signals(stop.sigval)
        raise Interrupted(signum, f"{signum.name}; --resume continues") from stop
    except ChildFailedError as error:
        rank, failure = find_cause(error.failures)
        place = f"rank {rank} of {count}"
        if failure.exitcode < 0:
            _interrupt(folder, cell, f"{place} was ended by {failure.signal_name()}")
        elif rank or read_end(folder, cell) == before:  # rank 0 writes the end of its own
            fail_cell(folder, cell, f"{place}: {_words_of(failure)}")
        return ExitCode.CELL_FAILED
    return ExitCode.OK


def find_cause(failures: Mapping[int, Any]) -> tuple[int, Any]:
    """Rank and torch's `ProcessFailure` of the process because of which the others have failed.

    The first with an error of its own, or that something has killed: the others lose it within a
    second, say so or are told to end.
    """

    def order(item: tuple[int, Any]) -> tuple[bool, bool, int]:
        failure = item[1]
        echo = any(word in str(failure.message) for word in ECHOES)
        return failure.exitcode in TOLD_TO_END, echo, failure.timestamp

    return min(failures.items(), key=order)


def _words_of(failure: Any) -> str:
    if isinstance(failure.message, Mapping):  # it wrote them down itself
        return str(failure.message["message"]).removeprefix(f"{CellError.__name__}: ")
    return f"ended with exit code {failure.exitcode}"


def _interrupt(folder: Path, cell: Cell, line: str) -> None:
    """An end after which executors start the cell again."""
    with lock_cell(folder, cell):
        write_end(folder, cell, "interrupted", line)
    print(line, file=sys.stderr)


def _variables(count: int) -> dict[str, str]:
    threads = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
    return {"OMP_NUM_THREADS": str(max(1, threads // count)), LAUNCHER: str(os.getpid())}


@contextmanager
def _own_handlers_kept() -> Iterator[None]:
    """torch sets its own for as long as its processes run, and leaves them."""
    kept = {signum: signal.getsignal(signum) for signum in TORCHS_SIGNALS}
    try:
        yield
    finally:
        for signum, handler in kept.items():
            signal.signal(signum, handler)
