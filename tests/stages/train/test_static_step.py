"""Steps on buffers and from a graph: the same weights, bit for bit, as steps taken one by one.

A graph of Python calls stands for CUDA's: recording leaves everything as it was, and replaying
reads nothing but the buffers and what the step keeps in memory.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from toy_training import SIDE, ToyDetector, ToyLoader, toy_batch, toy_settings

from harness.data.batch import Inputs, Targets
from harness.errors import CellError, UserError
from harness.manifest.schema import Train
from harness.stages.train.capture import ROUNDED_TO, WARM_UP_STEPS, Buffers, StaticStep
from harness.stages.train.launch import StopRequest, check_device, choose_way, start_accelerator
from harness.stages.train.step import Batch, Numbers
from harness.stages.train.training import Training

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


class CallGraph:
    """Records a function by running it and taking back all that it changed."""

    def __init__(self, waits: Sequence[str] = ()) -> None:
        self.training: Training | None = None
        self.waits = list(waits)
        self.recordings = self.replays = 0

    def warm_up(self, function: Callable[[], Numbers]) -> tuple[Numbers, list[str]]:
        return function(), self.waits

    def record(self, function: Callable[[], Numbers]) -> Numbers:
        assert self.training is not None
        made = self.training
        before = deepcopy((made.module.state_dict(), made.optimizer.state_dict()))
        random = torch.get_rng_state()
        self.result = {
            name: torch.full_like(value, torch.nan) for name, value in function().items()
        }
        made.module.load_state_dict(before[0])
        restore_moments(made.optimizer, before[1])
        torch.set_rng_state(random)
        self.function = function
        self.recordings += 1
        return self.result

    def has_left_device_usable(self) -> bool:
        return True

    def replay(self) -> None:
        for name, value in self.function().items():
            self.result[name].copy_(value)
        self.replays += 1


def restore_moments(optimizer: torch.optim.Optimizer, before: dict[str, Any]) -> None:
    """In place: what a graph reads stays where it is."""
    states = optimizer.state_dict()["state"]
    for key, state in before["state"].items():
        for name, value in state.items():
            states[key][name].copy_(value)


def prepare(folder: Path, settings: Train, graph: CallGraph | None, loader: Any = None) -> Training:
    accelerator = start_accelerator(settings, CPU, seed=3)
    loader = loader or ToyLoader(settings.batch_size)
    made = Training(
        ToyDetector(), loader, settings, accelerator, folder, {"fingerprint": "x"}, graph
    )
    if graph is not None:
        graph.training = made
    return made


def finish(made: Training) -> dict[str, Tensor]:
    with StopRequest() as stop:
        made.run(stop)
    made.release()
    return dict(made.detector.state_dict())


def assert_equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": {"name": "sgd", "lr": 0.1}},
        {"accumulate": 2, "batch_size": 2, "ema_decay": 0.9, "clip_norm": 0.01},
        {"precision": "bfloat16", "clip_norm": None},
    ],
)
def test_replayed_steps_equal_steps_one_by_one(tmp_path: Path, changes: dict[str, Any]) -> None:
    settings, graph = toy_settings(**changes), CallGraph()
    plain = finish(prepare(tmp_path / "plain", settings, None))
    made = prepare(tmp_path / "graph", settings, graph)
    assert_equal(plain, finish(made))
    assert (graph.recordings, graph.replays) == (1, made.total - WARM_UP_STEPS)
    assert made.window.names == (*plain_names(settings),)


def plain_names(settings: Train) -> list[str]:
    return ["loss_cls", "loss_box", *(["grad_norm"] if settings.clip_norm else [])]


def test_a_resumed_training_with_a_graph_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    settings = toy_settings()
    whole = finish(prepare(tmp_path / "whole", settings, CallGraph()))
    first = prepare(tmp_path / "cut", settings, CallGraph())
    for micro in batches(first, 7):
        first.advance(micro)
    state = deepcopy(first.snapshot())
    second = prepare(tmp_path / "cut", settings, graph := CallGraph())
    second.restore(state)
    (group,) = second.optimizer.param_groups
    assert isinstance(group["lr"], Tensor)
    assert_equal(whole, finish(second))
    assert graph.replays == second.total - 7 - WARM_UP_STEPS


def batches(made: Training, count: int) -> Iterator[list[Batch]]:
    per_epoch = made.loader.steps_per_epoch
    for step in range(count):
        state = torch.get_rng_state()
        (batch,) = [
            b for i, b in enumerate(made.loader.batches(step // per_epoch)) if i == step % per_epoch
        ]
        torch.set_rng_state(state)
        yield [batch]


def test_a_step_that_waits_is_not_captured_and_the_record_says_why(tmp_path: Path) -> None:
    settings, graph = toy_settings(), CallGraph(waits=["model.py:7"])
    plain = finish(prepare(tmp_path / "plain", settings, None))
    made = prepare(tmp_path / "graph", settings, graph)
    made.way = replace(made.way, captured=True)
    assert_equal(plain, finish(made))
    said = made.conditions()
    assert (graph.recordings, said["step"], said["replayed_steps"]) == (0, "eager", 0)
    assert said["not_captured"] == "the step waits for the device (model.py:7)"


class Failing(CallGraph):
    """A capture that ends within the second of a step's batches."""

    usable = True

    def record(self, function: Callable[[], Numbers]) -> Numbers:
        assert self.training is not None
        made, random = self.training, torch.get_rng_state()
        before = deepcopy(made.module.state_dict())
        inputs, targets = toy_batch(0, [1, 2])
        with made.accelerator.accumulate(made.model):
            made.model(made.detector.prepare(inputs), targets)["loss_cls"].backward()
        made.module.load_state_dict(before)
        torch.set_rng_state(random)
        raise RuntimeError("CUDA error: operation not permitted\nmore")

    def has_left_device_usable(self) -> bool:
        return self.usable


def test_after_a_capture_that_fails_steps_go_on_one_by_one(tmp_path: Path) -> None:
    settings = toy_settings(accumulate=2, batch_size=2)
    plain = finish(prepare(tmp_path / "plain", settings, None))
    made = prepare(tmp_path / "graph", settings, Failing())
    made.way = replace(made.way, captured=True)
    assert_equal(plain, finish(made))
    reason = "recording failed: CUDA error: operation not permitted"
    assert made.conditions()["not_captured"] == reason


def test_a_capture_that_spoils_the_device_is_a_failed_cell_with_a_hint(tmp_path: Path) -> None:
    graph = Failing()
    graph.usable = False
    made = prepare(tmp_path, toy_settings(), graph)
    with pytest.raises(CellError, match=r"captured: CUDA error: operation not permitted \(train"):
        finish(made)


def test_what_a_replayed_step_counts_as(tmp_path: Path) -> None:
    made = prepare(tmp_path, toy_settings(), CallGraph())
    finish(made)
    assert made.clock.first_steps == WARM_UP_STEPS + 1  # the one that records is left out as well
    assert made.clock.steps == made.total - made.clock.first_steps


def test_buffers_are_refilled_whatever_rows_a_batch_has() -> None:
    many, few = with_rows(toy_batch(0, [0, 1]), 5), toy_batch(1, [2, 3])
    untouched = few[0].pixels.clone()
    buffers = Buffers([few], most_boxes=5, device=CPU)
    ((inputs, targets),) = buffers.micro
    places = [t.data_ptr() for t in (*inputs.tensors(), *targets.tensors())]
    assert targets.boxes.shape == (2, ROUNDED_TO, 4)
    for batch in (many, few, many):
        assert buffers.fit([batch])
        buffers.fill([batch])
        rows = batch[1].labels.shape[1]
        assert torch.equal(inputs.pixels, batch[0].pixels)
        assert torch.equal(targets.boxes[:, :rows], batch[1].boxes)
        assert torch.equal(targets.labels[:, :rows], batch[1].labels)
        assert torch.equal(targets.counts, batch[1].counts)
        assert not targets.boxes[:, rows:].any()
        assert not targets.labels[:, rows:].any()
    assert torch.equal(few[0].pixels, untouched)
    assert places == [t.data_ptr() for t in (*inputs.tensors(), *targets.tensors())]


def with_rows(batch: Batch, rows: int) -> Batch:
    inputs, targets = batch
    images = len(targets.counts)
    boxes, labels = torch.rand(images, rows, 4), torch.ones(images, rows, dtype=torch.int64)
    return inputs, Targets(boxes, labels, torch.full((images,), rows))


class Seen:
    """A step that does nothing but keep what it is given."""

    def __init__(self) -> None:
        self.micro: list[Sequence[Batch]] = []

    def __call__(self, micro: Sequence[Batch]) -> Numbers:
        self.micro.append(micro)
        return {"loss": torch.zeros(())}

    def abandon(self) -> None:
        raise NotImplementedError


def test_batches_of_another_shape_run_as_they_are() -> None:
    seen = Seen()
    static = StaticStep(seen, most_boxes=1, device=CPU, graph=CallGraph())
    wide = wider(toy_batch(0, [2, 3]))
    settled = []
    for batch in (toy_batch(0, [0, 1]), wide, with_rows(toy_batch(0, [2, 3]), 3)):
        static([batch])
        settled.append(static.settled)
    assert settled == [False, True, True]  # a rate of images leaves out what is not settled
    assert static.buffers is not None
    ((own, _),) = static.buffers.micro
    assert [inputs is own for ((inputs, _),) in seen.micro] == [True, False, True]
    assert seen.micro[1][0][0] is wide[0]
    assert seen.micro[2][0][1].labels.shape[1] == ROUNDED_TO


def wider(batch: Batch) -> Batch:
    inputs, targets = batch
    pixels = torch.zeros(2, 3, SIDE, SIDE + 1, dtype=torch.uint8)
    return Inputs(pixels, inputs.sizes, inputs.scales, inputs.image_sizes), targets


@pytest.mark.parametrize(
    ("step", "device", "processes", "name", "captured"),
    [
        ("auto", "cpu", 1, "eager", False),
        ("auto", "cuda", 1, "captured", True),
        ("auto", "cuda", 2, "eager", False),
        ("eager", "cuda", 1, "eager", False),
        ("captured", "cuda", 1, "captured", True),
        ("compiled", "cpu", 1, "compiled", False),
        ("compiled", "cuda", 1, "compiled", True),
        ("compiled", "cuda", 2, "compiled", False),
    ],
)
def test_how_steps_run(step: str, device: str, processes: int, name: str, captured: bool) -> None:
    way = choose_way(toy_settings(step=step), torch.device(device), processes)
    assert (way.name, way.captured) == (name, captured)
    wanted = device == "cuda" and step != "eager"
    assert (way.reason is not None) == (wanted and not captured)


@pytest.mark.parametrize(("step", "name"), [("auto", "eager"), ("compiled", "compiled")])
def test_an_optimiser_that_counts_on_the_host_is_not_captured(step: str, name: str) -> None:
    how: dict[str, Any] = {"optimizer": {"name": "timm", "opt": "lamb"}}
    way = choose_way(toy_settings(step=step, **how), torch.device("cuda"), 1, capturable=False)
    assert (way.name, way.captured) == (name, False)
    assert way.reason == "the optimiser 'timm' computes on the host"
    with pytest.raises(UserError, match=r"train\.step: the optimiser 'timm' computes on the host"):
        choose_way(toy_settings(step="captured", **how), torch.device("cuda"), 1, capturable=False)


def test_what_cannot_be_captured_is_one_line() -> None:
    with pytest.raises(UserError, match=r"train\.step: CUDA graphs need an NVIDIA GPU"):
        check_device(toy_settings(step="captured"), CPU)
    with pytest.raises(UserError, match="2 processes exchange gradients"):
        choose_way(toy_settings(step="captured"), torch.device("cuda"), 2)


def test_the_old_name_of_a_compiled_step_is_refused_with_the_new_one() -> None:
    with pytest.raises(ValueError, match="is now 'step: compiled'"):
        toy_settings(compile=True)
