"""The training stage on TinyDet-S: what the loop adds to a step, and whether it waits for data."""

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import pytest
import torch
from in_turn import time_in_turn
from subjects import TRAINED_IN, OneBatch, build, make_steps

import harness
import harness.stages.train.step
import harness.stages.train.training
from harness.data.batch import Inputs, Targets
from harness.data.loader import train_loader
from harness.manifest.schema import Train
from harness.model.arithmetic import arithmetic
from harness.model.detector import Detector
from harness.stages.train.loop import MakeLoader, train
from harness.stages.train.recipe import Optimization
from harness_plugins.synthetic.source import SyntheticSource

SUITE = Path(__file__).parents[2] / "suites" / "tinydet.yaml"
BATCH, STEPS = 4, 12
THREADS = max(1, (os.cpu_count() or 2) - 1)  # one core is the loader's worker's
WAIT_GOAL = 0.05


@pytest.fixture(autouse=True)
def room_for_a_worker() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSource:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        made = SyntheticSource(train_images=40, val_images=1, side=384, seed=0)
        made.prepare()
        return made


def settings(**changes: Any) -> Train:
    given = {
        "steps": STEPS,
        "batch_size": BATCH,
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "clip_norm": None,
    }
    return Train.model_validate(given | changes)


def train_with(detector: Detector, make_loader: MakeLoader, how: Train, folder: Path) -> Any:
    result = train(detector, make_loader, how, seed=0, folder=folder)
    return {m.metric: m.value for m in result.measurements if not m.scope}


def bare_seconds(batch: tuple[Inputs, Targets], how: Train) -> float:
    """Seconds a step of forward, backward and optimiser alone; the first is left out."""
    detector = harness.build(SUITE, "tinydet_s").train()
    optimizer = Optimization.of(how).build_optimizer(detector)
    inputs, targets = batch
    start = math.nan
    for step in range(STEPS):
        if step == 1:
            start = perf_counter()
        losses = detector(detector.prepare(inputs), targets)
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return (perf_counter() - start) / (STEPS - 1)


def test_the_loop_adds_little_to_a_step(
    benchmark: Any, capsys: Any, source: SyntheticSource, tmp_path: Path
) -> None:
    """Time in the stage's steps over that of the same steps written out."""
    how, detector = settings(workers=0), harness.build(SUITE, "tinydet_s")
    batch = next(train_loader(source.split("train"), detector.resize, how, 0).batches(0))
    bare = bare_seconds(batch, how)
    found = benchmark.pedantic(
        train_with, (detector, lambda *_: OneBatch(batch), how, tmp_path), rounds=1
    )
    seconds = BATCH / found["train_images_per_second"]
    benchmark.extra_info.update(bare_seconds=bare, loop_seconds=seconds)
    with capsys.disabled():
        print(f"\n{benchmark.name}: {seconds / bare:.2f}x ({seconds:.3f} s, bare {bare:.3f} s)")


@pytest.mark.parametrize("name", ["tinydet_s", "tinydet_m", "ssdlite320"])
def test_the_layout(
    benchmark: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Steps of 8 images with weights and images channels last, and as they are made."""
    torch.set_num_threads(os.cpu_count() or 2)  # there is no worker here
    layouts = {"channels last": torch.channels_last, "contiguous": torch.contiguous_format}

    def use(layout: torch.memory_format) -> None:
        for module in (harness.stages.train.step, harness.stages.train.training):
            monkeypatch.setattr(module, "TRAIN_LAYOUT", layout)

    def in_layout(layout: torch.memory_format) -> Callable[[], object]:
        use(layout)
        step = make_steps({name: build(name)}, 8, torch.device("cpu"))[name]
        return lambda: (use(layout), step())

    functions = {label: in_layout(layout) for label, layout in layouts.items()}
    with arithmetic(TRAINED_IN):
        seconds = benchmark.pedantic(time_in_turn, (functions, 10), rounds=1)
    ms = {label: median(times) * 1e3 for label, times in seconds.items()}
    ratio = ms["contiguous"] / ms["channels last"]
    benchmark.extra_info.update(ms, ratio=ratio)
    with capsys.disabled():
        print(f"\n{benchmark.name}: {ms}, channels last {ratio:.2f}x as fast")


def loader_images_per_second(loader: Any) -> float:
    list(loader.batches(0))  # starts the workers and fills the cache
    start, images = perf_counter(), 0
    for epoch in range(1, 3):
        images += sum(len(inputs.pixels) for inputs, _ in loader.batches(epoch))
    return images / (perf_counter() - start)


@pytest.mark.parametrize("augment", ["none", "flip", "paper"])
def test_the_loader_keeps_up(
    benchmark: Any, capsys: Any, source: SyntheticSource, tmp_path: Path, augment: str
) -> None:
    """Loader alone, step alone, both together with one worker, and the share spent waiting."""
    how, detector = settings(augment=augment, workers=1), harness.build(SUITE, "tinydet_s")
    split = source.split("train")

    def make_loader(rank: int, world: int) -> Any:
        return train_loader(split, detector.resize, how, 0, rank=rank, world=world)

    batch = next(make_loader(0, 1).batches(0))
    rows = {
        "loader alone": loader_images_per_second(make_loader(0, 1)),
        "step alone": BATCH / bare_seconds(batch, how),
    }
    found = benchmark.pedantic(train_with, (detector, make_loader, how, tmp_path), rounds=1)
    rows["both"] = found["train_images_per_second"]
    share = found["train_loader_wait"]
    benchmark.extra_info.update(rows, wait_share=share, goal=WAIT_GOAL)
    base = rows["step alone"]
    shown = [
        f"{name:14} {value:7.1f} images/s {value / base:6.2f}x" for name, value in rows.items()
    ]
    with capsys.disabled():
        print(f"\n{benchmark.name}", *shown, sep="\n  ")
        print(f"  waiting {share:.1%} of the step (goal: under {WAIT_GOAL:.0%})")
        print(f"  peak memory {found['train_peak_memory']:.0f} MiB")
