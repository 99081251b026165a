"""Where the cells of a run run: in the harness's own process, or each in a process of its own."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from harness.plugin import Executor, NoParams, Params, hookimpl


class SubprocessParams(Params):
    """How many processes at once.

    Attributes:
        jobs: cells that run at the same time, each with its share of the processors and with one
            of the GPUs. A cell of the stage `latency` has the machine to itself.
    """

    jobs: Annotated[int, Field(gt=0)] = 1


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
    ]
