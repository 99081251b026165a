"""Each cell in a fresh process of this machine."""

import os
import signal
import subprocess
from collections.abc import Mapping
from functools import partial

from harness.run.jobs import Task
from harness.run.launch import end_with_parent


class Processes:
    """An executor of processes that share this machine.

    What is not alone gets a share: of the processors by `OMP_NUM_THREADS`, of the GPUs by
    `CUDA_VISIBLE_DEVICES`, unless the user has set the first.
    """

    one_machine = True

    def __init__(self, jobs: int = 1) -> None:
        self.slots = jobs
        self.gpus = visible_gpus(os.environ)
        self.taken: list[Process | None] = [None] * jobs

    def start(self, task: Task) -> "Process":
        """Start it at once."""
        place = next(n for n, job in enumerate(self.taken) if job is None or job.poll() is not None)
        own = {} if task.alone else self.share(place)
        job = self.taken[place] = Process(task, {**own, **task.environment})
        return job

    def share(self, place: int) -> dict[str, str]:
        """Variables that give a job its part of the machine."""
        if self.slots == 1:
            return {}
        own = {}
        if "OMP_NUM_THREADS" not in os.environ:
            own["OMP_NUM_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) // self.slots))
        if self.gpus:
            own["CUDA_VISIBLE_DEVICES"] = self.gpus[place % len(self.gpus)]
        return own


class Process:
    """A job: one process, in a session of its own, so that a Ctrl-C reaches it by us alone.

    Args:
        with_parent: the signal that it gets when this process is gone, in whatever way.
    """

    def __init__(
        self,
        task: Task,
        variables: Mapping[str, str],
        with_parent: signal.Signals = signal.SIGTERM,
    ) -> None:
        with task.log.open("ab") as log:
            self.process = subprocess.Popen(
                task.command,
                cwd=task.directory,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(end_with_parent, with_parent),
            )

    def poll(self) -> str | None:
        code = self.process.poll()
        if code is None:
            return None
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}" if code else ""

    def stop(self) -> None:
        self.process.terminate()

    def kill(self) -> None:
        self.process.kill()


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """Names of the GPUs that torch may use, for `CUDA_VISIBLE_DEVICES`."""
    import torch

    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for name in chosen.split(",") if name.strip()]
    return [str(n) for n in range(torch.cuda.device_count())]
