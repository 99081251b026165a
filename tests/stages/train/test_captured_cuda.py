"""Steps replayed from real CUDA graphs against steps launched kernel by kernel."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from toy_training import SEED, ToyDetector, ToyLoader, toy_settings

import harness
from harness.data.batch import Inputs, Targets
from harness.manifest.schema import Train
from harness.stages.train.capture import WARM_UP_STEPS
from harness.stages.train.loop import train
from harness.stages.train.result import TrainResult
from harness.stages.train.step import Batch

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]
SUITE = Path(__file__).parents[3] / "suites" / "tinydet.yaml"
SIDE, STEPS = 128, 12


def said_of(result: TrainResult) -> dict[str, Any]:
    return next(m for m in result.measurements if m.metric == "train_images_per_second").conditions


def train_toy(folder: Path, **changes: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    detector, settings = ToyDetector(), toy_settings(**changes)
    result = train(
        detector,
        lambda *_: ToyLoader(settings.batch_size),
        settings,
        seed=SEED,
        folder=folder,
        device="cuda",
    )
    return dict(detector.state_dict()), said_of(result)


@pytest.mark.parametrize(
    "changes",
    [
        {},  # dropout: the graph's random numbers are those of the steps one by one
        {"optimizer": {"name": "sgd", "lr": 0.1}},
        {"accumulate": 2, "batch_size": 2, "ema_decay": 0.9},
        {"precision": "bfloat16"},
        {"precision": "float16"},
    ],
)
def test_captured_steps_equal_eager_ones(tmp_path: Path, changes: dict[str, Any]) -> None:
    eager, how = train_toy(tmp_path / "eager", step="eager", **changes)
    captured, said = train_toy(tmp_path / "captured", **changes)
    assert (how["step"], said["step"]) == ("eager", "captured"), said
    assert said["replayed_steps"] == said["steps"] - WARM_UP_STEPS
    for name, value in eager.items():
        torch.testing.assert_close(captured[name], value, rtol=1e-4, atol=1e-5, msg=name)


class Images:
    """Batches of random images, each with its own number of boxes and its own number of rows."""

    steps_per_epoch, most_boxes = 4, 9

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for step in range(start, self.steps_per_epoch):
            yield self.batch(epoch * self.steps_per_epoch + step)

    def batch(self, seed: int) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        rows, size = 3 + seed % 7, torch.tensor([[SIDE, SIDE]] * 2)
        pixels = torch.randint(0, 256, (2, 3, SIDE, SIDE), generator=generator).to(torch.uint8)
        corners = torch.rand(2, rows, 2, generator=generator) * SIDE * 0.6
        sides = 12 + torch.rand(2, rows, 2, generator=generator) * 40
        labels = torch.randint(0, 3, (2, rows), generator=generator)
        targets = Targets(torch.cat([corners, corners + sides], 2), labels, torch.tensor([rows, 2]))
        return Inputs(pixels, size, torch.ones(2, 2), size), targets


def train_detector(
    name: str, folder: Path, step: str, **changes: Any
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    torch.manual_seed(0)
    size = [f"detectors.{name}.input.size={SIDE}"] if name.startswith("tinydet") else []
    detector = harness.build(SUITE, name, overrides=size)
    given = {"steps": STEPS, "batch_size": 2, "optimizer": {"lr": 1e-3}, "log_every": 4}
    settings = Train.model_validate(given | {"step": step} | changes)
    result = train(
        detector, lambda *_: Images(), settings, seed=0, folder=folder / step, device="cuda"
    )
    lines = {m.scope: m.value for m in result.measurements if m.metric == "train_loss"}
    assert all(torch.isfinite(w).all() for w in detector.state_dict().values())
    return lines, said_of(result)


@pytest.mark.parametrize("name", ["tinydet_s", "tinydet_m"])
@pytest.mark.parametrize("step", ["captured", "compiled"])
def test_tinydet_is_captured_and_learns_alike(name: str, step: str, tmp_path: Path) -> None:
    eager, _ = train_detector(name, tmp_path, "eager")
    captured, said = train_detector(name, tmp_path, step)
    assert said["replayed_steps"] == STEPS - WARM_UP_STEPS, said
    assert "not_captured" not in said
    for term, value in eager.items():
        assert captured[term] == pytest.approx(value, rel=0.1), term  # hard examples may swap


@pytest.mark.parametrize("name", ["ssdlite320", "fasterrcnn320"])
def test_what_reads_from_the_device_stays_eager_and_says_so(name: str, tmp_path: Path) -> None:
    _, said = train_detector(name, tmp_path, "captured")
    assert (said["step"], said["replayed_steps"]) == ("eager", 0)
    assert "waits for the device" in said["not_captured"]


def test_the_layout_is_that_of_training_only_while_training(tmp_path: Path) -> None:
    torch.manual_seed(0)
    detector = harness.build(
        SUITE, "tinydet_s", overrides=[f"detectors.tinydet_s.input.size={SIDE}"]
    )
    before = {n: p.stride() for n, p in detector.named_parameters()}
    settings = Train.model_validate({"steps": 2, "batch_size": 2})
    train(detector, lambda *_: Images(), settings, seed=0, folder=tmp_path, device="cuda")
    assert {n: p.stride() for n, p in detector.named_parameters()} == before
