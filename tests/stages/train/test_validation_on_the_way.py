"""Evaluations within a training: when, of which weights, and that they leave no trace in it."""

import random
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_training_loop import assert_equal, log_lines, run, stop_at, weights
from toy_training import ToyDetector, toy_batch, toy_settings

from harness.errors import CellError, Interrupted
from harness.model.detector import Detector
from harness.stages.train.result import Progress
from harness.stages.train.state import load_safely, unchanged_rng

pytestmark = pytest.mark.slow

RATES = ("images_per_second", "wait_share")


class Disturber:
    """A validation that does all that must leave no trace; `seen` are the weights it was given."""

    def __init__(self) -> None:
        self.seen: list[dict[str, torch.Tensor]] = []
        self.modes: list[bool] = []

    def __call__(self, detector: Detector) -> Mapping[str, float]:
        self.seen.append({name: value.clone() for name, value in detector.state_dict().items()})
        self.modes.append(detector.training)
        torch.rand(5), np.random.rand(5), random.random()
        detector.train()
        inputs, targets = toy_batch(0, [1, 2, 3])
        losses = detector(detector.prepare(inputs), targets)  # moves the batch norm's statistics
        torch.stack(list(losses.values())).sum().backward()
        with torch.no_grad():
            for parameter in detector.parameters():
                parameter.zero_()
        return {"score": float(len(self.seen))}


def losses(folder: Path) -> list[dict[str, Any]]:
    """Lines of the log without its evaluations and clocks."""
    lines = [line for line in log_lines(folder) if "validation" not in line]
    return [{k: v for k, v in line.items() if k not in RATES} for line in lines]


def validations(folder: Path) -> list[tuple[int, float]]:
    return [
        (line["step"], line["validation"]["score"])
        for line in log_lines(folder)
        if "validation" in line
    ]


@pytest.mark.parametrize(
    "changes",
    [{}, {"ema_decay": 0.9}, {"accumulate": 2}, {"precision": "bfloat16"}],
    ids=["plain", "ema", "accumulated", "bfloat16"],
)
def test_the_training_is_the_same_to_the_bit(tmp_path: Path, changes: dict[str, Any]) -> None:
    without, disturber = toy_settings(**changes), Disturber()
    with_ = toy_settings(**changes, evaluate_every=1)
    run(tmp_path / "without", settings=without)
    run(tmp_path / "with", settings=with_, validate=disturber)
    assert len(disturber.seen) == 4
    assert disturber.modes == [False] * 4
    assert losses(tmp_path / "with") == losses(tmp_path / "without")
    assert_equal(weights(tmp_path / "with"), weights(tmp_path / "without"))
    one, other = (load_safely(tmp_path / name / "state.pt") for name in ("with", "without"))
    for state in (one, other):
        state["rng"][0]["numpy"][1] = state["rng"][0]["numpy"][1].tolist()
    assert torch.equal(one["rng"][0].pop("torch"), other["rng"][0].pop("torch"))
    assert one["rng"] == other["rng"]
    assert one["clock"]["steps"] == other["clock"]["steps"]


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"epochs": 4, "evaluate_every": 1}, [5, 10, 15, 20]),
        ({"epochs": 4, "evaluate_every": 3}, [15]),
        ({"epochs": 4, "evaluate_every": 1, "accumulate": 2}, [3, 5, 8, 10]),
        ({"epochs": None, "steps": 9, "evaluate_every": 4}, [4, 8]),
        ({"epochs": 4}, []),
    ],
)
def test_it_counts_in_the_unit_of_the_length(
    tmp_path: Path, settings: dict[str, Any], steps: list[int]
) -> None:
    told: list[Progress] = []
    run(tmp_path, settings=toy_settings(**settings), validate=Disturber(), on_progress=told.append)
    assert validations(tmp_path) == [(step, n) for n, step in enumerate(steps, 1)]
    ended = [progress for progress in told if progress.ends_validation]
    assert [(p.step, p.validation["score"]) for p in ended] == validations(tmp_path)
    assert sum(progress.doing == "evaluating" for progress in told) == len(steps)
    if steps:
        after = next(p for p in told if p.step > steps[0])
        assert after.validation == {"score": 1.0}, "it stays known"


@pytest.mark.parametrize("changes", [{}, {"ema_decay": 0.9}], ids=["plain", "ema"])
def test_it_is_of_the_weights_that_would_be_saved(tmp_path: Path, changes: dict[str, Any]) -> None:
    disturber = Disturber()
    for epochs in (2, 4):
        run(tmp_path / str(epochs), settings=toy_settings(
            epochs=epochs, evaluate_every=2, schedule={"name": "constant"}, **changes
        ), validate=disturber)  # fmt: skip
    of_two, again, of_four = disturber.seen
    assert_equal(of_two, weights(tmp_path / "2"))
    assert_equal(again, of_two)
    assert_equal(of_four, weights(tmp_path / "4"))


def test_after_an_interruption_it_goes_on(tmp_path: Path) -> None:
    settings = toy_settings(evaluate_every=1)
    run(tmp_path / "whole", settings=settings, validate=Disturber())
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", settings=settings, validate=Disturber(),
            on_progress=stop_at(12, signal.SIGTERM))  # fmt: skip
    run(tmp_path / "cut", settings=settings, validate=Disturber(), resume=True)
    assert [step for step, _ in validations(tmp_path / "cut")] == [5, 10, 15, 20]
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    assert_equal(weights(tmp_path / "cut"), weights(tmp_path / "whole"))


def test_one_that_fails_is_told_of_and_ends_nothing(tmp_path: Path) -> None:
    def fail(detector: Detector) -> Mapping[str, float]:
        raise CellError("detections of image 3 are not finite")

    told: list[Progress] = []
    settings = toy_settings(evaluate_every=2)
    result = run(tmp_path, settings=settings, validate=fail, on_progress=told.append)
    assert result.steps == 20
    failed = [line for line in log_lines(tmp_path) if "validation" in line]
    assert [line["step"] for line in failed] == [10, 20]
    assert all(line["failed"] == "detections of image 3 are not finite" for line in failed)
    assert "evaluation after step 10 failed: detections" in " ".join(p.doing for p in told)


def test_its_time_is_not_the_trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Callable[[], float]
    now = [0.0]
    clock = lambda: now[0]  # noqa: E731
    monkeypatch.setattr("harness.stages.train.clock.time.perf_counter", clock)

    def slow(detector: Detector) -> Mapping[str, float]:
        now[0] += 1000.0
        return {}

    result = run(tmp_path, ToyDetector(), toy_settings(evaluate_every=1), validate=slow)
    wall = next(m for m in result.measurements if m.metric == "train_wall_time")
    assert wall.value < 1000
    assert now[0] == 4000


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpus_random_state_is_left_as_it_was() -> None:
    device = torch.device("cuda", 0)
    before = torch.cuda.get_rng_state(device)
    with unchanged_rng(device):
        torch.rand(3, device=device)
    assert torch.equal(torch.cuda.get_rng_state(device), before)
