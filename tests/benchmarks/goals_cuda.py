"""The goals of speed on a data-centre GPU. All but a whole run are measured within 8 minutes."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import torch
from goals_cpu import FINEST, OP_ROUNDS, STRIDES, Group
from in_turn import Goal, at_least, at_most, event_seconds, fastest, time_in_turn
from subjects import (
    SUITE,
    TRAINED_IN,
    build,
    draw_photos,
    draw_vga,
    make_steps,
    pool_with_torchvision,
    proposals,
)
from torch import Tensor

from harness.manifest.schema import PRECISIONS
from harness.model.arithmetic import arithmetic
from harness.model.detector import Detector
from harness.modes.build import build_runner, unavailable
from harness.modes.runner import Runner
from harness.ops import psroi_align_multilevel

DETECTORS = ("tinydet_s", "tinydet_m", "tinydet_l", "ssdlite320", "fasterrcnn320")
RIVAL, RIVAL_LABEL = "fasterrcnn320", "fasterrcnn320 eager float32"
# `compiled` is left out: `cuda_graph` replays the very kernels that it launches one by one.
MODES = ("eager", "fused", "cuda_graph")
SIXTEEN = ("bfloat16", "float16")
# p50 in milliseconds, times as fast as the rival, times YOLO11n's network
LIMITS = {"tinydet_s": (0.6, 15.0, 0.6), "tinydet_m": (0.9, 10.0, 0.9)}
# Ultralytics' YOLO11n at 320 px, batch 1, its network alone in a CUDA graph, on an H100
YOLO_MILLISECONDS = 0.995
TRAINED = {"tinydet_s": 8.0, "tinydet_m": 5.0}  # times the rival's images a second
CUDA = torch.device("cuda")
ROUNDS, BATCH = 500, 32
COMPARING_SECONDS, TIMING_SECONDS, TRAINING_SECONDS = 30.0, 5.0, 20.0
CALLS = 50  # of an op between two events, whose resolution is half a microsecond
RUN_STEPS, RUN_BATCH, RUN_LIMIT = 300, 16, 120.0


@torch.no_grad()
def latency(run: Path | None) -> Iterator[Goal]:
    """From a uint8 photo of 640x480 on the device to detections there."""
    for name in LIMITS:
        yield from one_latency(name, run)


def one_latency(name: str, run: Path | None) -> Iterator[Goal]:
    """The modes are compared in turn; the best one then runs alone, as a user would run it."""
    limit, times, of_yolo = LIMITS[name]
    photo, own, rival = [draw_vga().to(CUDA)], on_gpu(name, run), on_gpu(RIVAL, run)
    runners = {
        f"{name} {mode} {precision}": build_runner(own, mode, precision)
        for precision in PRECISIONS
        for mode in MODES
        if unavailable(mode, precision, CUDA) is None
    }
    functions: dict[str, Callable[[], object]] = {
        label: partial(runner.detect, photo) for label, runner in runners.items()
    }
    functions[RIVAL_LABEL] = partial(build_runner(rival, "eager").detect, photo)
    seconds = time_in_turn(functions, ROUNDS, event_seconds, 10, COMPARING_SECONDS)
    best = fastest(seconds, runners)
    yield from alone(name, runners[best], best, photo, limit, of_yolo)
    what = f"{name} in its best mode, batch 1, times as fast as {RIVAL} eager"
    yield at_least(what, seconds, best, RIVAL_LABEL, times)
    if f"{name} cuda_graph tf32" in runners:  # a GPU without it has nothing to compare
        graphs = (f"{name} cuda_graph {precision}" for precision in SIXTEEN)
        half = fastest(seconds, graphs)
        what = f"{name} cuda_graph in 16 bits, batch 1, to its own tf32"
        yield at_most(what, seconds, half, f"{name} cuda_graph tf32", 1.0)


def on_gpu(name: str, run: Path | None) -> Detector:
    return build(name, run).to(CUDA).eval()


def alone(
    name: str, runner: Runner, label: str, photo: list[Tensor], limit: float, of_yolo: float
) -> Iterator[Goal]:
    torch.cuda.set_sync_debug_mode("error")  # nothing waits for the device in between
    runner.detect_pixels(runner.load(photo))
    torch.cuda.set_sync_debug_mode("default")
    functions = {"own": lambda: runner.detect(photo)}
    seconds = time_in_turn(functions, ROUNDS, event_seconds, 50, TIMING_SECONDS)["own"]
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
    rounds, detail = len(seconds), f"{label}: p50 {p50:.3f} ms, p99 {p99:.3f} ms"
    what = f"{name} in its best mode, batch 1"
    yield Goal(f"{what}, p50", p50, "ms", "at most", limit, rounds, detail)
    yield Goal(f"{what}, p99 over p50", p99 / p50, "x", "at most", 1.1, rounds, detail)
    ratio, stated = p50 / YOLO_MILLISECONDS, f"{YOLO_MILLISECONDS} ms were measured on an H100"
    shown = f"{what}, whole, to YOLO11n's network alone in a CUDA graph"
    yield Goal(shown, ratio, "x", "at most", of_yolo, rounds, f"{detail}; {stated}")


@torch.no_grad()
def throughput(run: Path | None) -> Iterator[Goal]:
    runner = build_runner(on_gpu("tinydet_s", run), "cuda_graph", "float16")
    inputs = runner.load([photo.to(CUDA) for photo in draw_photos(BATCH, 320)])
    functions = {"own": lambda: runner.detect_pixels(inputs)}
    seconds = time_in_turn(functions, ROUNDS, event_seconds, 20, TIMING_SECONDS)["own"]
    what = f"tinydet_s cuda_graph float16, batches of {BATCH}, images a second"
    rate, detail = BATCH / median(seconds), f"{median(seconds) * 1e3:.3f} ms"
    yield Goal(what, rate, "images/s", "at least", 20000, len(seconds), detail)


def make_maps(batch: int) -> list[Tensor]:
    return [torch.randn(batch, 245, 320 // s, 320 // s, device="cuda") for s in STRIDES]


def repeated(function: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(CALLS):
            function()

    return run


def pool(maps: list[Tensor], boxes: Tensor) -> Tensor:
    return psroi_align_multilevel(maps, boxes, STRIDES, FINEST, 7, 5, 2, "max", True)


@torch.no_grad()
def pooling_alone() -> Iterator[Goal]:
    """Launches of the op captured in a graph: its own time, without Python's."""
    maps, boxes = make_maps(1), proposals(1, 200).cuda()
    functions: dict[str, Callable[[], object]] = {
        "own": repeated(lambda: pool(maps, boxes)),
        "torchvision": repeated(lambda: pool_with_torchvision(maps, boxes, STRIDES, FINEST)),
        "captured": captured(repeated(lambda: pool(maps, boxes))),
    }
    seconds = time_in_turn(functions, OP_ROUNDS, event_seconds)
    micro = median(seconds["captured"]) / CALLS * 1e6
    what = "PSRoI-align (max) of 200 RoIs over three maps"
    yield Goal(what, micro, "us", "at most", 15, OP_ROUNDS, f"{CALLS} launches in a graph")
    yield at_least(f"{what}, times as fast as torchvision's", seconds, "own", "torchvision", 2.0)


def pooling_in_training() -> Iterator[Goal]:
    """Bytes that must move: maps in, gradients of maps out, pooled and its index out and in.

    In a graph, as the step of a training runs it; launched one by one, Python takes longer.
    """
    maps = [x.requires_grad_() for x in make_maps(BATCH)]
    boxes = proposals(BATCH, 512).cuda()
    gradient = torch.ones_like(pool(maps, boxes))
    size = 2 * sum(x.nbytes for x in maps) + 4 * gradient.nbytes
    block = torch.empty(size // 8, dtype=torch.float32, device="cuda")
    other = torch.empty_like(block)
    both = lambda: torch.autograd.grad(pool(maps, boxes), maps, gradient)  # noqa: E731
    functions: dict[str, Callable[[], object]] = {
        "own": captured(both),
        "one by one": both,
        "copy": lambda: other.copy_(block),  # reads and writes: `size` bytes in all
    }
    seconds = time_in_turn(functions, OP_ROUNDS, event_seconds)
    what = f"PSRoI-align of {BATCH} x 512 RoIs, forward + backward, of the bandwidth of a copy"
    own, singly, copy = (median(seconds[name]) for name in functions)
    detail = f"{own * 1e6:.0f} us in a graph, {singly * 1e6:.0f} us launched one by one"
    detail += f", {copy * 1e6:.0f} us to copy {size / 1e6:.0f} MB"
    yield Goal(what, copy / own, "share", "at least", 0.5, OP_ROUNDS, detail)


def captured(function: Callable[[], object]) -> Callable[[], None]:
    """Replays what a function launches."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        function()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph.replay


def pooling(run: Path | None) -> Iterator[Goal]:
    yield from pooling_alone()
    yield from pooling_in_training()


def training(run: Path | None) -> Iterator[Goal]:
    """In the precision that is the default, and in the one that torch's is for convolutions."""
    for precision in (TRAINED_IN, "tf32"):
        detectors = {name: build(name, run) for name in (*TRAINED, RIVAL)}
        with arithmetic(precision):
            steps = make_steps(detectors, BATCH, CUDA, precision=precision)
            seconds = time_in_turn(steps, ROUNDS, event_seconds, 8, TRAINING_SECONDS)
        for name, limit in TRAINED.items():
            what = f"{name} training in {precision} (steps of {BATCH} of 320 px), images/s"
            yield at_least(f"{what}, times {RIVAL}'s", seconds, name, RIVAL, limit)


def whole_run(data: Path) -> Iterator[Goal]:
    """Everything from the command line on: a process started, data read, the page written."""
    changes = (f"steps={RUN_STEPS}", f"batch_size={RUN_BATCH}")
    sets = [f"detectors.{name}.train.{change}" for name in DETECTORS for change in changes]
    given = ["--profile", "small", "--data", str(data), "--device", "cuda"]
    given += [word for one in sets for word in ("--set", one)]
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "harness", "run", str(SUITE), "--results", folder, *given]
        start = perf_counter()
        subprocess.run(command, check=True)
        seconds = perf_counter() - start
    what = f"a whole run of five detectors, {RUN_STEPS} steps of {RUN_BATCH}"
    yield Goal(what, seconds, "s", "at most", RUN_LIMIT, 1, f"on {data.name}")


def groups(data: Path | None) -> Mapping[str, Group]:
    """A whole run needs a folder of data."""
    found: dict[str, Group] = {
        "latency": latency,
        "throughput": throughput,
        "pooling": pooling,
        "training": training,
    }
    if data is not None:
        found["suite"] = lambda run: whole_run(data)
    return found
