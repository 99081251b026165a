"""Each cell as a task of Ray, on any machine of its cluster."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep
from typing import Any

from harness.errors import UserError
from harness.run.jobs import Task
from harness_plugins.executors.processes import Process

try:
    import ray
    from ray import exceptions
except ImportError as error:
    raise UserError(
        f"the executor 'ray' needs ray ({error})",
        where="executor",
        hint="pip install 'harness[ray]'",
    ) from error

LOOK_SECONDS = 0.1  # between two looks at a command


def run_command(task: Task) -> str:
    """What a worker of Ray does.

    The command goes when the worker goes, whatever ends that: a cell is never written to by two.

    Returns:
        "", or what became of it.
    """
    with _noting_cancellation() as noted:
        process, told = Process(task, task.environment, with_parent=signal.SIGKILL), False
        while (became := process.poll()) is None:
            if noted and not told:
                process.stop()
                told = True
            sleep(LOOK_SECONDS)
        return became


@contextmanager
def _noting_cancellation() -> Iterator[list[int]]:
    """Ray interrupts a task as Ctrl-C does, at any moment: here it is only written down."""
    noted: list[int] = []
    before = signal.signal(signal.SIGINT, lambda signum, frame: noted.append(signum))
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


class RayTasks:
    """An executor of tasks of Ray, which finds room for them.

    The run folder and the code must lie at the same place on all nodes.
    """

    one_machine = False

    def __init__(self, *, jobs: int, address: str | None, cpus: float, gpus: float) -> None:
        self.slots = jobs
        self.cpus, self.gpus = cpus, gpus
        if not ray.is_initialized():
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise UserError(
                    f"Ray does not start: {' '.join(str(error).split())}",
                    where="executor.address",
                    hint="`ray status` on this machine tells of a cluster",
                ) from error
        # Ray itself repeats nothing, for the harness does
        self.run = ray.remote(max_retries=0)(run_command)

    def start(self, task: Task) -> "RayTask":
        """Hand it to Ray."""
        cpus = self._all_cpus() if task.alone else self.cpus * task.processes
        gpus = max(self.gpus, task.processes) if self.gpus else 0
        options = {"num_cpus": cpus, "num_gpus": gpus, "name": task.name}
        return RayTask(self.run.options(**options).remote(task))

    def _all_cpus(self) -> float:
        """Of the largest node that has the GPUs: who asks for so many has a node to itself."""
        listed: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        nodes: list[dict[str, float]] = [node["Resources"] for node in listed if node["Alive"]]
        fitting = [own.get("CPU", 0.0) for own in nodes if own.get("GPU", 0.0) >= self.gpus]
        return max([*fitting, self.cpus])


class RayTask:
    """A job: one task of Ray."""

    def __init__(self, result: Any) -> None:
        self.result = result

    def poll(self) -> str | None:
        try:
            done, _ = ray.wait([self.result], timeout=0)
            return str(ray.get(self.result)) if done else None
        except exceptions.TaskCancelledError:
            return "was cancelled"
        except exceptions.NodeDiedError:
            return "was lost with its node"
        except exceptions.WorkerCrashedError:
            return "was lost with its worker"
        except exceptions.OutOfMemoryError:
            return "was ended by Ray, for its node had no memory left"
        except exceptions.RayError as error:
            return f"was lost: {type(error).__name__}: {' '.join(str(error).split())[:300]}"

    def stop(self) -> None:
        ray.cancel(self.result)  # one that waits ends at once; one that runs passes it on

    def kill(self) -> None:
        ray.cancel(self.result, force=True)
