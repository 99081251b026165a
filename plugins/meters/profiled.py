"""Which part of a detector a runtime's graphs spend their time in."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from harness.model.detector import Detector
from harness.modes.runner import NodeTime
from harness.records.measurement import Measurement
from harness.stages.inputs import LatencyInput
from harness_plugins.meters.latency import device_name, make_batches
from harness_plugins.meters.roles import Roles, role_of

RUNS = 30
UNMAPPED = "unmapped"


class Profiled:
    """Meter of the stage `latency`: milliseconds per batch inside the runtime's graphs, by role.

    `profiled_network` is the sum over all nodes in runs of their own under the runtime's profiler,
    and its `role/...` that of the nodes of a role. A node that was made from modules of several
    roles, or from none that is known, is `role/unmapped`. A mode without a profiler has nothing.
    """

    def __call__(self, detector: Detector, given: LatencyInput) -> list[Measurement]:
        runner, settings = given.runner, given.settings
        if runner.profile is None:
            return []
        batch = make_batches(runner, given.images, settings.batch_size)[0]
        with torch.inference_mode():
            runs = runner.profile(lambda: runner.network(batch.inputs), RUNS)
        about = {
            "device": device_name(runner.device),
            "threads": torch.get_num_threads(),
            "batch_size": settings.batch_size,
            "input_size": "x".join(map(str, batch.inputs.pixels.shape[-2:])),
            "nodes": len(runs[0]),
        }
        return [
            Measurement(
                "profiled_network",
                float(np.median(times)),
                scope=scope,
                count=len(times),
                samples=tuple(times),
                conditions=about,
            )
            for scope, times in by_role(runs, detector.roles).items()
        ]


def by_role(runs: Sequence[Sequence[NodeTime]], roles: Roles) -> Mapping[str, list[float]]:
    """Scope -> milliseconds in each run; "" is the whole, and roles without a node are left out."""
    summed = [_sum(run, roles) for run in runs]
    found = dict.fromkeys((*roles, *(role for one in summed for role in one), UNMAPPED))
    there = [role for role in found if role == UNMAPPED or any(role in one for one in summed)]
    shares = {f"role/{role}": [one.get(role, 0.0) for one in summed] for role in there}
    return {"": [math.fsum(one.values()) for one in summed], **shares}


def _sum(run: Sequence[NodeTime], roles: Roles) -> dict[str, float]:
    spent: defaultdict[str, float] = defaultdict(float)
    for node in run:
        of = {role_of(module, roles) for module in node.modules}
        spent[of.pop() if len(of) == 1 else UNMAPPED] += node.milliseconds
    return spent
