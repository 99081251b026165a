"""Each cell as a job of Slurm, by submitit."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any, cast

import psutil

from harness.errors import UserError
from harness.run.jobs import Task
from harness_plugins.executors.processes import Process

try:
    import submitit
    from submitit.core.utils import DelayedSubmission, pickle_load
except ImportError as error:
    raise UserError(
        f"the executor 'slurm' needs submitit ({error})",
        where="executor",
        hint="pip install 'harness[slurm]'",
    ) from error

ASK_SECONDS = 2.0  # between two questions to Slurm, which are about all jobs at once
LOOK_SECONDS = 0.5  # between two looks at the files of one job, which are on a shared disk
FORGOTTEN_SECONDS = 60.0  # a job that Slurm does not know for so long is over
SAVED = (128 + signal.SIGTERM, -signal.SIGTERM)  # how a cell ends that SIGTERM has stopped
# anything else, such as PENDING, COMPLETING or REQUEUE_HOLD, may still run
ENDS = frozenset(
    {
        "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
        "PREEMPTED", "REVOKED", "TIMEOUT",
    }
)  # fmt: skip


class CellCall:
    """What a job calls on its node: the command of a task.

    At the job's time limit, and before a job of higher priority takes its place, submitit calls
    `checkpoint` and puts the job back into the queue, where it continues from what was saved.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.process: Process | None = None

    def __call__(self) -> str:
        """Run the command.

        Returns:
            "", or what became of it.
        """
        if os.environ.get("SUBMITIT_EXECUTOR") != "slurm":
            # Slurm signals every process of a job, the command included
            signal.signal(signal.SIGTERM, self._pass_on)
        with _held_back():
            self.process = Process(self.task, self.task.environment, with_parent=signal.SIGKILL)
        self._wait()
        with _held_back():  # there is nothing left to be continued
            return self.process.poll() or ""

    def checkpoint(self) -> DelayedSubmission | None:
        """Let the command save and end.

        Returns:
            the job that continues it, or None where the command had come to its end.
        """
        if self.process is not None:
            self.process.stop()
            self._wait()
            if self.process.process.wait() not in SAVED:
                return None
        return DelayedSubmission(CellCall(self.task))

    def _wait(self) -> None:
        # without Popen's lock, for a signal's handler waits inside of the wait that it interrupts
        assert self.process is not None
        if self.process.process.returncode is None:
            os.waitid(os.P_PID, self.process.process.pid, os.WEXITED | os.WNOWAIT)

    def _pass_on(self, signum: int, frame: object) -> None:
        if self.process is not None:
            self.process.stop()


@contextmanager
def _held_back() -> Iterator[None]:
    """Let submitit's signal wait. A process that is started here never sees it.

    Slurm sends it to every process of a job, and the command would die of it.
    """
    chosen = {submitit.JobEnvironment._usr_sig()}
    signal.pthread_sigmask(signal.SIG_BLOCK, chosen)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, chosen)


class Slurm:
    """An executor of jobs that Slurm runs wherever there is room.

    The run folder and the code must lie at the same place on all nodes. What submitit needs lies
    beside the logs of each cell.
    """

    one_machine = False

    def __init__(
        self,
        *,
        jobs: int,
        partition: str | None,
        time: int,
        gpus: int,
        cpus: int,
        memory_gb: float | None,
        account: str | None,
        qos: str | None,
        extra: Mapping[str, Any],
        setup: Sequence[str],
        save_seconds: int,
        requeues: int,
        cluster: str | None,
    ) -> None:
        self.slots = jobs
        self.cpus, self.gpus, self.setup, self.requeues = cpus, gpus, list(setup), requeues
        self.cluster = cluster or submitit.AutoExecutor.which()
        if self.cluster == "slurm" and any(shutil.which(c) is None for c in ("sbatch", "srun")):
            raise UserError(
                "there is no Slurm on this machine", where="executor", hint="it has no sbatch"
            )
        memory = None if memory_gb is None else f"{round(memory_gb * 1024)}M"
        named = {"partition": partition, "mem": memory, "account": account, "qos": qos}
        self.parameters: dict[str, Any] = {
            **{name: value for name, value in named.items() if value is not None},
            "time": time,
            "setup": self.setup,
            "signal_delay_s": save_seconds,
            # of a node that fails, the job runs again, whatever is the custom of the cluster
            "additional_parameters": {"requeue": True, **extra},
        }
        self.local_parameters = {"timeout_min": time, "signal_delay_s": save_seconds}
        self.queue = Queue()

    def start(self, task: Task) -> "Submitted | Local | Refused":
        """Submit it."""
        share = {}
        if not task.alone and "OMP_NUM_THREADS" not in os.environ:
            # which its processes divide; not every cluster holds a job to its share
            share["OMP_NUM_THREADS"] = str(self.cpus * task.processes)
        task = replace(task, environment={**share, **task.environment})
        folder = task.log.parent / "slurm" / "%j"
        try:
            if self.cluster == "slurm":
                return Submitted(self._slurm(task, folder).submit(CellCall(task)), self.queue)
            local = self._local(task, folder).submit(CellCall(self._set_up(task)))
            return Local(cast("submitit.LocalJob[str]", local))
        except (submitit.core.utils.UncompletedJobError, RuntimeError) as error:
            return Refused(error)

    def _slurm(self, task: Task, folder: Path) -> submitit.SlurmExecutor:
        made = submitit.SlurmExecutor(folder, max_num_timeout=self.requeues)
        # from 22.05 on srun does not take over how many processors sbatch was told
        cpus = self.cpus * task.processes
        srun = ["--cpu-bind=none"] if task.alone else [f"--cpus-per-task={cpus}"]
        own: dict[str, Any] = {"cpus_per_task": cpus, **({"exclusive": True} if task.alone else {})}
        if self.gpus:
            own["gpus_per_node"] = max(self.gpus, task.processes)
        made.update_parameters(job_name=task.name, srun_args=srun, **own, **self.parameters)
        return made

    def _local(self, task: Task, folder: Path) -> submitit.LocalExecutor:
        made = submitit.LocalExecutor(folder, max_num_timeout=self.requeues)
        gpus = max(self.gpus, task.processes) if self.gpus else 0
        made.update_parameters(gpus_per_node=gpus, **self.local_parameters)
        return made

    def _set_up(self, task: Task) -> Task:
        """The lines before the command: submitit's own shell would keep signals from it."""
        if not self.setup:
            return task
        lines = "\n".join([*self.setup, 'exec "$@"'])
        return replace(task, command=["sh", "-c", lines, "sh", *task.command])


class Submitted:
    """A job of Slurm."""

    def __init__(self, job: submitit.Job[str], queue: "Queue") -> None:
        self.job, self.queue = job, queue
        self.looked = 0.0

    def poll(self) -> str | None:
        if monotonic() - self.looked < LOOK_SECONDS:
            return None
        self.looked = monotonic()
        # asked first: a job may end between the two
        state = self.queue.state(self.job.job_id)
        said = _read_result(self.job)
        if said is None and (state in ENDS or state == "UNKNOWN"):
            return "" if state == "COMPLETED" else f"ended as {state} in job {self.job.job_id}"
        return said

    def stop(self) -> None:
        # a job that waits ends at once; the others have what runs on their nodes save and end
        self._cancel("--state=PENDING")
        self._cancel("--signal=TERM")

    def kill(self) -> None:
        self._cancel("--signal=KILL")  # what runs, which Slurm itself would give time to end
        self._cancel()

    def _cancel(self, *options: str) -> None:
        command = ["scancel", "--quiet", *options, self.job.job_id]
        subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Queue:
    """What Slurm says about the jobs of this user, asked for all of them at once."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.asked = float("-inf")
        self.missed: dict[str, float] = {}  # job -> since when

    def state(self, job: str) -> str:
        """Slurm's word; PENDING as long as it does not know better, UNKNOWN of a forgotten job."""
        if monotonic() - self.asked >= ASK_SECONDS:
            self._ask()
        if job in self.states:
            self.missed.pop(job, None)
            return self.states[job]
        since = self.missed.setdefault(job, monotonic())
        if monotonic() - since < FORGOTTEN_SECONDS:
            return "PENDING"
        lines = _output("sacct", "-X", "-n", "-P", "-o", "State", "-j", job)
        return lines[-1].split()[0] if lines and lines[-1].strip() else "UNKNOWN"

    def _ask(self) -> None:
        lines = _output("squeue", "--me", "--states=all", "--noheader", "--format=%i %T")
        if lines is not None:  # that a controller does not answer says nothing about a job
            self.states = dict(line.split() for line in lines)
        else:
            self.missed.clear()
        self.asked = monotonic()


class Local:
    """A job of submitit's `local`, which does on this machine what it does with Slurm."""

    def __init__(self, job: submitit.LocalJob[str]) -> None:
        assert job._process is not None
        self.job, self.process = job, job._process

    def poll(self) -> str | None:
        if self.process.poll() is None:
            return None
        said = _read_result(self.job)
        return f"ended without a result in job {self.job.job_id}" if said is None else said

    def stop(self) -> None:
        self.process.terminate()  # it passes the signal on

    def kill(self) -> None:
        try:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                child.kill()
        except psutil.NoSuchProcess:
            pass
        self.process.kill()


class Refused:
    """A job that was never in the queue."""

    def __init__(self, error: Exception) -> None:
        self.words = f"was not submitted: {' '.join(str(error).split())}"

    def poll(self) -> str:
        return self.words

    def stop(self) -> None:
        """There is nothing to stop."""

    kill = stop


def _read_result(job: submitit.Job[str]) -> str | None:
    """What `CellCall` returned, or how submitit ended it; None of a job that did not get there."""
    try:
        outcome, said = pickle_load(job.paths.result_pickle)
    except (OSError, EOFError):
        return None
    if outcome == "success":
        return str(said)
    return f"ended in job {job.job_id}: {str(said).strip().splitlines()[-1]}"


def _output(*command: str) -> list[str] | None:
    """Lines of what a command prints, None where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.splitlines() if done.returncode == 0 else None
