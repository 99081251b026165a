"""Where the cells of a run run: in the harness's own process, or each in a process of its own."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from harness.plugin import Executor, NoParams, Params, hookimpl


class SubprocessParams(Params):
    """How many processes at once.

    Attributes:
        jobs: cells that run at the same time, each with its share of the processors and with one
            of the GPUs. A cell of the stage `latency`, and a training over several GPUs, has the
            machine to itself.
    """

    jobs: Annotated[int, Field(gt=0)] = 1


class SlurmParams(Params):
    """What a job of Slurm asks for; each cell is one.

    Attributes:
        jobs: cells that are submitted at the same time.
        time: minutes of one job. A training that takes longer saves and continues in the next.
        gpus, cpus, memory_gb: of one job. One of several processes (`train.gpus`) gets a GPU for
            each of them, unless `gpus` is 0, and as many times the processors.
        extra: further options of sbatch, such as `constraint: a100`; `true` for those without a
            value.
        setup: lines of shell before anything else, on the node.
        save_seconds: before its time is up a job is told to save.
        requeues: how often a job continues that ran out of time.
        cluster: `local` runs submitit's jobs on this machine, without Slurm; null is Slurm where
            there is one, else `local`.
    """

    jobs: Annotated[int, Field(gt=0)] = 100
    partition: str | None = None
    time: Annotated[int, Field(gt=0)] = 60
    gpus: Annotated[int, Field(ge=0)] = 0
    cpus: Annotated[int, Field(gt=0)] = 1
    memory_gb: Annotated[float, Field(gt=0)] | None = None
    account: str | None = None
    qos: str | None = None
    extra: Annotated[dict[str, Any], Field(default_factory=dict)]
    setup: tuple[str, ...] = ()
    save_seconds: Annotated[int, Field(gt=0)] = 90
    requeues: Annotated[int, Field(ge=0)] = 10
    cluster: Literal["slurm", "local"] | None = "slurm"


class RayParams(Params):
    """What a task of Ray asks for; each cell is one.

    Attributes:
        jobs: cells that are handed to Ray at the same time; it runs those that there is room for.
        address: of the cluster, `auto` for the one that this machine belongs to; null starts one
            on this machine where `RAY_ADDRESS` names none.
        cpus, gpus: of one cell. A cell of the stage `latency` takes all processors of a node, one
            of several processes (`train.gpus`) a GPU for each, unless `gpus` is 0.
    """

    jobs: Annotated[int, Field(gt=0)] = 100
    address: str | None = None
    cpus: Annotated[float, Field(gt=0)] = 1
    gpus: Annotated[float, Field(ge=0)] = 0


@hookimpl
def harness_executors() -> Sequence[Executor]:
    return [
        Executor(
            name="inline",
            target="harness.run.executing:run_here",
            params=NoParams,
            summary="the harness's own process, cell after cell",
        ),
        Executor(
            name="subprocess",
            target="harness_plugins.executors.processes:Processes",
            params=SubprocessParams,
            summary="a fresh process for each cell, --jobs of them at once",
        ),
        Executor(
            name="slurm",
            target="harness_plugins.executors.slurm:Slurm",
            params=SlurmParams,
            summary="a job of Slurm for each cell; needs harness[slurm]",
        ),
        Executor(
            name="ray",
            target="harness_plugins.executors.ray_tasks:RayTasks",
            params=RayParams,
            summary="a task of Ray for each cell; needs harness[ray]",
        ),
    ]
