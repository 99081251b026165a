"""The stage that times a detector on real images, in one mode."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from harness.manifest.schema import Latency
from harness.model.detector import Detector
from harness.modes.build import build_runner, find_mode
from harness.modes.runner import Calibration, Runner
from harness.plan.cells import USUAL_MODE, split_mode
from harness.records.measurement import Measurement
from harness.stages.context import evaluating, synchronize, threads, with_runner
from harness.stages.inputs import LatencyInput, LatencyMeter, OnProgress
from harness.stages.metrics import MODE_COMPILE, MODE_SETUP
from harness.stages.mode_check import CheckData, check_mode, score_of


def measure_latency(
    detector: Detector,
    meters: Iterable[LatencyMeter],
    images: Sequence[Tensor],
    settings: Latency,
    on_progress: OnProgress | None = None,
    *,
    told: Callable[[str], object] = lambda phase: None,
    mode: str = USUAL_MODE,
    check: CheckData | None = None,
    calibration: Calibration | None = None,
) -> list[Measurement]:
    """Time the detector on the device that it is on.

    Args:
        detector: with the weights of the run, since what it finds decides how long NMS takes;
            it is handed back in the mode that it came in.
        meters: see `inputs.LatencyMeter`.
        images: (3, h, w) uint8 RGB in the host's memory, real ones; the first
            `settings.images` are used.
        settings: how often, how warm, how many at once.
        on_progress: told (repetitions done, repetitions requested).
        told: what goes on before the first repetition, in words.
        mode: with its precision, see `harness.plan.cells.name_mode`.
        check: what the mode must find as eager does before it is timed; nothing when None.
        calibration: for a mode that is quantised.

    Raises:
        CellError: it finds something else.
    """
    chosen = tuple(images[: settings.images])
    if not chosen:
        raise ValueError("there are no images to time with")
    # compilers build the number of threads in, so it is set before anything is compiled
    with evaluating(detector, split_mode(mode)[1]), threads(settings.threads):
        preparing = find_mode(split_mode(mode)[0]).preparing
        told(preparing or "setting up")
        runner, seconds = set_up(detector, mode, chosen, settings.batch_size, calibration)
        found = [Measurement(MODE_SETUP, seconds)]
        if preparing:
            found.append(Measurement(MODE_COMPILE, runner.compile_seconds()))
        given = LatencyInput(chosen, settings, runner, on_progress)
        with torch.inference_mode():
            if check is not None:
                told("checking against eager")
                eager = build_runner(detector)
                found += check_mode(runner, eager, check, settings.batch_size)
            told("warming up")
            times = [number for meter in meters for number in meter(runner.detector, given)]
    own = score_of(found) if check is not None and check.quantized else {}
    found += [
        replace(m, conditions={**own, **m.conditions}, warnings=(*m.warnings, *runner.findings))
        for m in times
    ]
    return with_runner(found, runner)


def set_up(
    detector: Detector,
    mode: str,
    images: Sequence[Tensor],
    batch_size: int,
    calibration: Calibration | None = None,
) -> tuple[Runner, float]:
    """A runner that has run once, and how long that took.

    Compilers and graph captures work at the first call of each thing that is timed.
    """
    synchronize(detector.device)
    started = time.perf_counter()
    runner = build_runner(detector, *split_mode(mode), calibration=calibration)
    batch = [images[i % len(images)] for i in range(batch_size)]
    with torch.inference_mode():
        inputs = runner.prepare(batch)
        runner.network(inputs)
        runner.forward(inputs)
        runner.detect(batch).to("cpu")
    synchronize(detector.device)
    return runner, time.perf_counter() - started
