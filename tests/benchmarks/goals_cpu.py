"""The goals of speed on a CPU."""

from collections.abc import Iterator
from pathlib import Path
from statistics import median

import torch
from in_turn import Goal, at_least, at_most, time_in_turn
from subjects import build, draw_photos, make_step, pool_with_torchvision, proposals
from torch import nn
from torch.profiler import ProfilerActivity, profile

from harness.modes import Runner, build_runner
from harness.ops import psroi_align_multilevel, soft_nms_padded

PAIRS = {"tinydet_s": "ssdlite320", "tinydet_m": "fasterrcnn320"}
MODES = ("eager", "fused", "compiled")
LATENCY_ROUNDS, TRAINING_ROUNDS, OP_ROUNDS = 60, 7, 100
STRIDES, FINEST = (4, 8, 16), 22.4  # TinyDet-M


def measure(run: Path | None) -> Iterator[Goal]:
    with torch.no_grad():
        for name, rival in PAIRS.items():
            yield from latency(name, rival, run)
        yield convolutions(run)
        yield from ops()
    yield from training(run)


def latency(name: str, rival: str, run: Path | None) -> Iterator[Goal]:
    """End to end at batch 1, every mode of both detectors in turn."""
    photos = draw_photos(8)
    runners = {
        f"{one} {mode}": build_runner(build(one, run).eval(), mode)
        for one in (name, rival)
        for mode in MODES
    }
    functions = {k: every_photo(runner, photos) for k, runner in runners.items()}
    seconds = time_in_turn(functions, LATENCY_ROUNDS // len(photos) + 1, warm_up=2)
    seconds = {k: [s / len(photos) for s in times] for k, times in seconds.items()}
    best = min((f"{name} {mode}" for mode in MODES), key=lambda k: median(seconds[k]))
    what = f"{name} end to end in its best mode, to {rival} eager"
    yield at_most(what, seconds, best, f"{rival} eager", 0.5)
    for mode in MODES:
        own, other = f"{name} {mode}", f"{rival} {mode}"
        yield at_most(f"{name} end to end, to {rival}, both {mode}", seconds, own, other, 1.0)


def every_photo(runner: Runner, photos: list[torch.Tensor]) -> object:
    def run() -> None:
        for photo in photos:
            runner.detect([photo])

    return run


def convolutions(run: Path | None) -> Goal:
    """Multiply-adds of TinyDet-S a second of its convolutions, over those of a matrix product."""
    detector, photo = build("tinydet_s", run).eval(), draw_photos(1)
    runner = build_runner(detector, "compiled")
    inputs = runner.load(photo)
    macs = convolution_macs(detector, photo)
    side = 1024
    a, b = torch.randn(side, side), torch.randn(side, side)
    shares, rates = [], []
    for _ in range(3):
        runner.detect_pixels(inputs)
    for _ in range(OP_ROUNDS // 4):
        product = time_in_turn({"product": lambda: a @ b}, 3, warm_up=1)["product"]
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            runner.detect_pixels(inputs)
        spent = sum(e.self_cpu_time_total for e in seen.key_averages() if is_convolution(e.key))
        rates.append(side**3 / median(product) / 1e9)
        shares.append(macs / (spent * 1e-6) / 1e9 / rates[-1])
    rate = median(rates)
    detail = f"{median(shares) * rate:.1f} of {rate:.1f} GMAC/s, {macs / 1e6:.0f} MMACs"
    what = "tinydet_s compiled: convolutions, of the rate of a float32 matrix product"
    return Goal(what, median(shares), "share", "at least", 0.25, len(shares), detail)


def is_convolution(op: str) -> bool:
    return "convolution_pointwise" in op or op == "aten::mkldnn_convolution"


def convolution_macs(detector: nn.Module, photo: list[torch.Tensor]) -> int:
    found: list[int] = []
    hooks = [
        m.register_forward_hook(lambda m, _, out: found.append(out.numel() * m.weight[0].numel()))
        for m in detector.modules()
        if isinstance(m, nn.Conv2d)
    ]
    build_runner(detector, "eager").detect(photo)  # type: ignore[arg-type]
    for hook in hooks:
        hook.remove()
    return sum(found)


def ops() -> Iterator[Goal]:
    maps = [torch.randn(1, 245, 320 // s, 320 // s) for s in STRIDES]
    boxes = proposals(1, 200)
    for reduce in ("max", "mean"):
        seconds = time_in_turn(
            {
                "own": lambda reduce=reduce: psroi_align_multilevel(
                    maps, boxes, STRIDES, FINEST, 7, 5, 2, reduce, True
                ),
                "torchvision": lambda: pool_with_torchvision(maps, boxes, STRIDES, FINEST),
            },
            OP_ROUNDS,
        )
        what = f"PSRoI-align ({reduce}) of 200 RoIs over three maps, times as fast as torchvision's"
        yield at_least(what, seconds, "own", "torchvision", 3.0)
    grouped, scores = proposals(80, 200), torch.rand(80, 200)
    found = time_in_turn({"own": lambda: soft_nms_padded(grouped, scores[:, None])}, OP_ROUNDS)[
        "own"
    ]
    what = "soft-NMS of 80 classes x 200 boxes, all alive"
    yield Goal(what, median(found) * 1e3, "ms", "at most", 3.0, len(found), "median")


def training(run: Path | None) -> Iterator[Goal]:
    names = ("tinydet_s", "tinydet_m", "ssdlite320")
    steps = {name: make_step(build(name, run), 8) for name in names}
    seconds = time_in_turn(steps, TRAINING_ROUNDS)
    for name, limit in (("tinydet_s", 1.0), ("tinydet_m", 0.5)):
        what = f"{name} training images/s (8 of 320 px, forward + backward), to ssdlite320's"
        yield at_least(what, seconds, name, "ssdlite320", limit)
