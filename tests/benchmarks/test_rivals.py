"""TinyDet against torchvision's detectors, step by step in turn in one process.

Each ratio is rival time / TinyDet time, so more is better. With `HARNESS_BENCH_RUN` naming a run
folder of `suites/tinydet.yaml` the latencies are of its trained weights; otherwise the weights
are fresh, with a bias towards background, so that NMS has about the work of a trained detector.
"""

import os
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import pytest
import torch

import harness
from harness.data.batch import Inputs, Targets
from harness.data.images import read_image
from harness.model.detector import Detector
from harness_plugins.synthetic.source import SyntheticSource

SUITE = Path(__file__).parents[2] / "suites" / "tinydet.yaml"
BACKGROUND_BIAS = 8.0
THREADS, BATCH = 2, 8


@pytest.fixture(autouse=True)
def two_threads() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[torch.Tensor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        source = SyntheticSource(train_images=1, val_images=8, side=640, seed=0)
        source.prepare()
    return [read_image(path) for path in sorted(source.split("val").images.glob("*.jpg"))]


def build(name: str) -> Detector:
    """With the classes of COCO, or those of the run that lends its weights."""
    run = os.environ.get("HARNESS_BENCH_RUN")
    torch.manual_seed(0)
    if run:
        checkpoint = Path(run) / "cells" / name / "seed0" / "checkpoint.pt"
        return harness.build(SUITE, name, checkpoint=checkpoint)
    detector = harness.build(SUITE, name, classes=80)
    with torch.no_grad():
        for layer, background in background_scores(detector):
            layer.bias[background] += BACKGROUND_BIAS
    return detector


def background_scores(detector: Any) -> list[tuple[Any, Any]]:
    """Layers that score classes, with the outputs that stand for background."""
    if hasattr(detector, "bbox_head"):
        return [(detector.bbox_head.fc_cls, 0)]
    if hasattr(detector.model, "roi_heads"):
        return [(detector.model.roi_heads.box_predictor.cls_score, 0)]
    head = detector.model.head.classification_head
    return [(block[-1], slice(None, None, head.num_columns)) for block in head.module_list]


def make_step(name: str) -> Any:
    """One training step, forward and backward, on eight images of 320 pixels with ten boxes."""
    detector = build(name).train()
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (BATCH, 3, 320, 320), generator=generator).to(torch.uint8)
    sizes = torch.full((BATCH, 2), 320)
    inputs = Inputs(pixels, sizes, torch.ones(BATCH, 2), sizes)
    corners = torch.rand(BATCH, 10, 2, generator=generator) * 250
    sides = 8 + torch.rand(BATCH, 10, 2, generator=generator) * 60
    labels = torch.randint(0, len(detector.classes), (BATCH, 10), generator=generator)
    counts = torch.full((BATCH,), 10)
    targets = Targets(torch.cat([corners, corners + sides], 2), labels, counts)

    def step() -> None:
        detector.zero_grad(set_to_none=True)
        losses = detector.losses(detector.prepare(inputs), targets)
        torch.stack(list(losses.values())).sum().backward()

    return step


def make_prediction(name: str, images: list[torch.Tensor]) -> Any:
    detector = build(name)

    def predict_all() -> None:
        for image in images:
            detector.predict([image])

    return predict_all


def compare(benchmark: Any, capsys: Any, own: Any, rival: Any, goal: float, rounds: int) -> None:
    """Time both in turn, so that what else the machine does hits both."""
    rival()
    seconds = []

    def run_rival() -> None:
        start = perf_counter()
        rival()
        seconds.append(perf_counter() - start)

    benchmark.pedantic(own, setup=run_rival, rounds=rounds, warmup_rounds=1)
    ratio = median(seconds) / benchmark.stats.stats.median
    benchmark.extra_info.update(ratio=ratio, goal=goal, rival_seconds=median(seconds))
    with capsys.disabled():
        print(f"\n{benchmark.name}: {ratio:.2f} (goal: at least {goal})")


@pytest.mark.parametrize(("name", "goal"), [("tinydet_s", 0.7), ("tinydet_m", 0.35)])
def test_training_throughput_to_ssdlite(
    benchmark: Any, capsys: Any, name: str, goal: float
) -> None:
    compare(benchmark, capsys, make_step(name), make_step("ssdlite320"), goal, rounds=5)


@pytest.mark.parametrize(
    ("name", "rival"), [("tinydet_s", "ssdlite320"), ("tinydet_m", "fasterrcnn320")]
)
def test_end_to_end_latency(
    benchmark: Any, capsys: Any, images: list[torch.Tensor], name: str, rival: str
) -> None:
    """Eight decoded images one by one, eager on both sides."""
    own, other = make_prediction(name, images), make_prediction(rival, images)
    compare(benchmark, capsys, own, other, goal=1.0, rounds=5)
