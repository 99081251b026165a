"""The goals of speed on a CPU."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median

import torch
from in_turn import Goal, at_least, at_most, fastest, time_in_turn
from subjects import (
    TRAINED_IN,
    build,
    draw_photos,
    make_steps,
    pool_with_torchvision,
    proposals,
)
from torch import nn
from torch.profiler import ProfilerActivity, profile

from harness.manifest.schema import PRECISIONS
from harness.model.arithmetic import arithmetic
from harness.modes.build import build_runner, unavailable
from harness.modes.runner import Runner
from harness.ops import psroi_align_multilevel, soft_nms_padded

# own detector: its rival, and the most that its best mode may take of the rival's eager time
PAIRS = {"tinydet_s": ("ssdlite320", 0.45), "tinydet_m": ("fasterrcnn320", 0.33)}
TRAINED = {"tinydet_s": 1.3, "tinydet_m": 0.7}  # times ssdlite320's images a second
CPU = torch.device("cpu")
MODES = ("eager", "fused", "compiled")
PHOTOS, ROUNDS, OP_ROUNDS = 8, 60, 100
LATENCY_SECONDS, TRAINING_SECONDS = 45.0, 60.0
STRIDES, FINEST = (4, 8, 16), 22.4  # TinyDet-M

Group = Callable[[Path | None], Iterator[Goal]]


def runs_here(mode: str, precision: str) -> bool:
    return unavailable(mode, precision, CPU) is None


@torch.no_grad()
def latency(run: Path | None) -> Iterator[Goal]:
    """End to end at batch 1, all modes and precisions of both detectors of a pair in turn."""
    for name, (rival, limit) in PAIRS.items():
        yield from pair(name, rival, limit, run)


def pair(name: str, rival: str, limit: float, run: Path | None) -> Iterator[Goal]:
    photos = draw_photos(PHOTOS)
    modes = [mode for mode in MODES if runs_here(mode, "float32")]
    own = {f"{name} {m} {p}": (name, m, p) for p in PRECISIONS for m in MODES if runs_here(m, p)}
    others = {f"{rival} {m} float32": (rival, m, "float32") for m in modes}
    built = {one: build(one, run).eval() for one in (name, rival)}
    runners = {
        label: build_runner(built[one], mode, precision)
        for label, (one, mode, precision) in (own | others).items()
    }
    functions = {label: every_photo(runner, photos) for label, runner in runners.items()}
    seconds = time_in_turn(functions, ROUNDS, budget=LATENCY_SECONDS)
    seconds = {label: [s / len(photos) for s in times] for label, times in seconds.items()}
    best = fastest(seconds, own)
    what = f"{name} end to end in its best mode, to {rival} eager"
    yield at_most(what, seconds, best, f"{rival} eager float32", limit)
    for mode in modes:
        labels = (f"{name} {mode} float32", f"{rival} {mode} float32")
        yield at_most(f"{name} end to end, to {rival}, both {mode}", seconds, *labels, 1.0)


def every_photo(runner: Runner, photos: list[torch.Tensor]) -> Callable[[], None]:
    def run() -> None:
        for photo in photos:
            runner.detect([photo])

    return run


@torch.no_grad()
def convolutions(run: Path | None) -> Iterator[Goal]:
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
    yield Goal(what, median(shares), "share", "at least", 0.35, len(shares), detail)


def is_convolution(op: str) -> bool:
    own = op == "harness::separable_conv"
    return own or "convolution_pointwise" in op or op == "aten::mkldnn_convolution"


def convolution_macs(detector: nn.Module, photo: list[torch.Tensor]) -> int:
    """Of the RPN's outputs, too, there are convolutions, but compiled they run as one product,
    whose time is not a convolution's."""
    found: list[int] = []
    hooks = [
        m.register_forward_hook(lambda m, _, out: found.append(out.numel() * m.weight[0].numel()))
        for name, m in detector.named_modules()
        if isinstance(m, nn.Conv2d) and not name.endswith(("rpn_cls", "rpn_reg"))
    ]
    build_runner(detector, "eager").detect(photo)  # type: ignore[arg-type]
    for hook in hooks:
        hook.remove()
    return sum(found)


@torch.no_grad()
def ops(run: Path | None) -> Iterator[Goal]:
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
    detectors = {name: build(name, run) for name in (*TRAINED, "ssdlite320")}
    with arithmetic(TRAINED_IN):
        seconds = time_in_turn(make_steps(detectors, 8, CPU), ROUNDS, budget=TRAINING_SECONDS)
    for name, limit in TRAINED.items():
        what = f"{name} training images/s (steps of 8 of 320 px), to ssdlite320's"
        yield at_least(what, seconds, name, "ssdlite320", limit)


GROUPS: Mapping[str, Group] = {
    "latency": latency,
    "convolutions": convolutions,
    "ops": ops,
    "training": training,
}
