"""What it takes to ship a detector: the size of its model, loading it, its first answer."""

import time

import numpy as np
import torch

from harness.model.detector import Detector
from harness.records.measurement import Measurement
from harness.stages.inputs import LatencyInput
from harness_plugins.meters.latency import device_name

LOADS = 7  # the fewest whose median has a 95 % interval are six


class Deployment:
    """Meter of the stage `latency`: what the mode's runner says of its artifact.

    `model_size` in MB; `load_time` in seconds, from files to sessions that are ready; and
    `first_inference` in milliseconds, the first batch that those answer, end to end. The two are
    medians over loads. A mode that has no files has no such times, one that knows no artifact
    nothing at all.
    """

    def __call__(self, detector: Detector, given: LatencyInput) -> list[Measurement]:
        runner, settings = given.runner, given.settings
        artifact = runner.artifact()
        if artifact is None:
            return []
        about = {"counted": artifact.counted, "batch_size": settings.batch_size}
        found = [Measurement("model_size", artifact.size / 1e6, conditions=about)]
        if artifact.reload is None:
            return found
        batch = [given.images[i % len(given.images)] for i in range(settings.batch_size)]
        loads, firsts = [], []
        with torch.inference_mode():
            for _ in range(LOADS):
                loads.append(artifact.reload())
                started = time.perf_counter()
                runner.detect(batch).to("cpu")
                firsts.append((time.perf_counter() - started) * 1e3)
        about |= {"device": device_name(runner.device), "threads": torch.get_num_threads()}
        timed = {"load_time": loads, "first_inference": firsts}
        return found + [
            Measurement(
                name, float(np.median(times)), count=LOADS, samples=tuple(times), conditions=about
            )
            for name, times in timed.items()
        ]
