"""The goals of speed on a data-centre GPU."""

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch
from goals_cpu import FINEST, OP_ROUNDS, STRIDES, TRAINING_ROUNDS
from in_turn import Goal, at_least, event_seconds, time_in_turn
from subjects import build, draw_photos, make_step, pool_with_torchvision, proposals
from torch import Tensor

from harness.modes import Runner, build_runner
from harness.ops import psroi_align_multilevel

RIVAL = "fasterrcnn320"
ROUNDS, BATCH = 500, 32
CALLS = 50  # of an op between two events, whose resolution is half a microsecond


def measure(run: Path | None) -> Iterator[Goal]:
    with torch.no_grad():
        for name, limit in (("tinydet_s", 1.5), ("tinydet_m", 2.0)):
            yield from latency(name, limit, run)
        yield throughput(run)
        yield from pooling()
    yield from pooling_in_training()
    yield from training(run)


def on_gpu(name: str, run: Path | None, mode: str, precision: str = "float32") -> Runner:
    return build_runner(build(name, run).to("cuda").eval(), mode, precision)


def latency(name: str, limit: float, run: Path | None) -> Iterator[Goal]:
    """From a uint8 image on the device to detections there, nothing waiting in between."""
    own, rival = on_gpu(name, run, "cuda_graph"), on_gpu(RIVAL, run, "eager")
    photo = [p.to("cuda") for p in draw_photos(1)]
    own.detect(photo)
    torch.cuda.set_sync_debug_mode("error")
    own.detect_pixels(own.load(photo).to("cuda"))
    torch.cuda.set_sync_debug_mode("default")
    functions: dict[str, Callable[[], object]] = {
        "own": lambda: own.detect(photo),
        "rival": lambda: rival.detect(photo),
    }
    seconds = time_in_turn(functions, ROUNDS, event_seconds, warm_up=20)
    p50, p99 = np.percentile(seconds["own"], [50, 99]) * 1e3
    detail = f"p50 {p50:.3f} ms, p99 {p99:.3f} ms"
    yield Goal(f"{name} cuda_graph, batch 1, p50", p50, "ms", "at most", limit, ROUNDS, detail)
    what = f"{name} cuda_graph, batch 1, p99 over p50"
    yield Goal(what, p99 / p50, "x", "at most", 1.2, ROUNDS, detail)
    what = f"{name} cuda_graph, times as fast as {RIVAL} eager"
    yield at_least(what, seconds, "own", "rival", 8.0)


def throughput(run: Path | None) -> Goal:
    runner = on_gpu("tinydet_s", run, "cuda_graph", "float16")
    inputs = runner.load([p.to("cuda") for p in draw_photos(BATCH, 320)])
    seconds = time_in_turn(
        {"own": lambda: runner.detect_pixels(inputs)}, ROUNDS, event_seconds, warm_up=20
    )["own"]
    rate = BATCH / median(seconds)
    what = f"tinydet_s cuda_graph-float16, batches of {BATCH}, images a second"
    return Goal(what, rate, "images/s", "at least", 5000, ROUNDS, f"{median(seconds) * 1e3:.3f} ms")


def make_maps(batch: int) -> list[Tensor]:
    return [torch.randn(batch, 245, 320 // s, 320 // s, device="cuda") for s in STRIDES]


def repeated(function: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(CALLS):
            function()

    return run


def pool(maps: list[Tensor], boxes: Tensor) -> Tensor:
    return psroi_align_multilevel(maps, boxes, STRIDES, FINEST, 7, 5, 2, "max", True)


def pooling() -> Iterator[Goal]:
    """Launches of the op captured in a graph: its own time, without Python's."""
    maps, boxes = make_maps(1), proposals(1, 200).cuda()
    graph = torch.cuda.CUDAGraph()
    pool(maps, boxes)
    with torch.cuda.graph(graph):
        repeated(lambda: pool(maps, boxes))()
    functions: dict[str, Callable[[], object]] = {
        "own": repeated(lambda: pool(maps, boxes)),
        "torchvision": repeated(lambda: pool_with_torchvision(maps, boxes, STRIDES, FINEST)),
        "captured": graph.replay,
    }
    seconds = time_in_turn(functions, OP_ROUNDS, event_seconds)
    micro = median(seconds["captured"]) / CALLS * 1e6
    what = "PSRoI-align (max) of 200 RoIs over three maps"
    yield Goal(what, micro, "us", "at most", 15, OP_ROUNDS, f"{CALLS} launches in a graph")
    yield at_least(f"{what}, times as fast as torchvision's", seconds, "own", "torchvision", 2.0)


def pooling_in_training() -> Iterator[Goal]:
    """Bytes that must move: maps in, gradients of maps out, pooled and its index out and in."""
    maps = [x.requires_grad_() for x in make_maps(BATCH)]
    boxes = proposals(BATCH, 512).cuda()
    pooled = pool(maps, boxes)
    gradient = torch.ones_like(pooled)
    size = 2 * sum(x.nbytes for x in maps) + 4 * pooled.nbytes
    block = torch.empty(size // 8, dtype=torch.float32, device="cuda")
    other = torch.empty_like(block)
    seconds = time_in_turn(
        {
            "own": lambda: torch.autograd.grad(pool(maps, boxes), maps, gradient),
            "copy": lambda: other.copy_(block),  # reads and writes: `size` bytes in all
        },
        OP_ROUNDS,
        event_seconds,
    )
    what = f"PSRoI-align of {BATCH} x 512 RoIs, forward + backward, of the bandwidth of a copy"
    share = median(seconds["copy"]) / median(seconds["own"])
    detail = f"{size / median(seconds['own']) / 1e9:.0f} GB/s of {size / 1e6:.0f} MB"
    yield Goal(what, share, "share", "at least", 0.5, OP_ROUNDS, detail)


def training(run: Path | None) -> Iterator[Goal]:
    steps = {
        "tinydet_s": make_step(build("tinydet_s", run).cuda(), BATCH, compiled=True),
        "tinydet_m": make_step(build("tinydet_m", run).cuda(), BATCH, compiled=True),
        "rival": make_step(build(RIVAL, run).cuda(), BATCH),
    }
    seconds = time_in_turn(steps, 3 * TRAINING_ROUNDS, event_seconds)
    for name in ("tinydet_s", "tinydet_m"):
        what = f"{name} compiled, training images/s, times {RIVAL}'s"
        yield at_least(what, seconds, name, "rival", 3.0)
