"""YOLOX-Nano against the package `yolox` 0.3.0, from a decoded photo to detections, in turn.

Both have the same weights and find the same. The package is the authors' own; its build wants
torch, so: pip install --no-deps --no-build-isolation yolox==0.3.0 && pip install loguru tabulate
Run with: pytest tests/benchmarks/test_against_yolox.py --benchmark-only -s
"""

from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
import torch
from in_turn import fastest, time_in_turn
from torch import Tensor

import harness
from harness.modes.build import build_runner
from harness.stages.context import evaluating

SUITE = Path(__file__).parents[2] / "suites" / "yolox.yaml"
SIDE, ROUNDS = 416, 40
MIN_SCORE, NMS_IOU = 0.01, 0.65
MODES = ("eager", "fused", "compiled")


@pytest.fixture
def package() -> Any:
    """Its YOLOX-Nano; weights are random, with scores around the threshold."""
    models = pytest.importorskip("yolox.models", reason="needs the package yolox")
    torch.manual_seed(0)
    parts = {"width": 0.25, "in_channels": [256, 512, 1024], "act": "silu", "depthwise": True}
    backbone = models.YOLOPAFPN(0.33, **parts)
    model = models.YOLOX(backbone, models.YOLOXHead(80, **parts))
    model.eval()
    norms = [one for one in model.modules() if isinstance(one, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.eps, norm.momentum = 1e-3, 1.0  # the first as its configuration has it
        norm.train()
    with torch.no_grad():  # statistics of a picture, so that cells and their scores differ
        model(255 * torch.rand(2, 3, SIDE, SIDE))
    for conv in (*model.head.cls_preds, *model.head.obj_preds):
        torch.nn.init.constant_(conv.bias, -2.0)
    return model.eval()


pytestmark = pytest.mark.usefixtures("two_threads")


def detect_by_package(model: Any, photo: np.ndarray) -> Tensor:
    """(N, 7): corners in the network's pixels, objectness, score of the class, class."""
    from yolox.data.data_augment import preproc
    from yolox.utils import postprocess

    pixels, _ = preproc(photo, (SIDE, SIDE))
    outputs = model(torch.from_numpy(pixels)[None])
    (found,) = postprocess(outputs, 80, MIN_SCORE, NMS_IOU)
    return torch.zeros(0, 7) if found is None else found


def test_yolox_nano_is_no_slower_than_the_package(benchmark: Any, capsys: Any, package: Any):
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 255, (480 // 16, 640 // 16, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    ours = harness.build(SUITE, "yolox_nano", classes=80)
    ours.load_state_dict(package.state_dict())
    image = torch.from_numpy(np.ascontiguousarray(photo[..., ::-1])).permute(2, 0, 1).contiguous()
    with evaluating(ours), torch.inference_mode():
        runners = {mode: build_runner(ours, mode, "float32") for mode in MODES}
        functions = {mode: lambda r=runner: r.detect([image]) for mode, runner in runners.items()}
        functions["package"] = lambda: detect_by_package(package, photo)
        _assert_the_same(runners["eager"].detect([image]), functions["package"]())
        seconds = benchmark.pedantic(time_in_turn, (functions, ROUNDS), rounds=1)
    best = fastest(seconds, MODES)
    ratio = median(seconds[best]) / median(seconds["package"])
    with capsys.disabled():
        told = ", ".join(f"{name} {1e3 * median(own):.1f} ms" for name, own in seconds.items())
        print(f"\nYOLOX-Nano {best} / package {ratio:.2f}: {told}")
    assert ratio <= 1


def _assert_the_same(found: Any, theirs: Tensor) -> None:
    """As many, with the same corners and scores, whatever their order."""
    scale = SIDE / 640
    count = int(found.counts)
    assert count == len(theirs) > 10
    boxes, scores = (found.boxes[0, :count] * scale).clamp(0, SIDE), found.scores[0, :count]
    gaps = (boxes[:, None] - theirs[:, :4].clamp(0, SIDE)).abs().amax(2)
    gaps = gaps.clamp(min=(scores[:, None] - theirs[:, 4] * theirs[:, 5]).abs() * 100)
    assert gaps.amin(1).quantile(0.99) < 1  # of equal scores either may suppress the other
