"""Schedule, optimisers, files, random states, log, signals: each by itself."""

import errno
import json
import math
import os
import pickle
import random
import resource
import signal
import socket
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from harness.errors import UserError
from harness.files import read_json_lines, write_atomic
from harness.manifest.schema import Train
from harness.plugin import Length
from harness.stages.train.clock import Clock
from harness.stages.train.launch import StopRequest
from harness.stages.train.losses import LossWindow, TrainLog
from harness.stages.train.recipe import Optimization, build_ema, load_optimizer
from harness.stages.train.state import (
    capture_rng,
    load_safely,
    preserved_rng,
    restore_rng,
    save_atomic,
)

CPU = torch.device("cpu")
rates = st.floats(1e-6, 1.0)


def recipe(optimizer: dict[str, Any] | None = None, **schedule: Any) -> Optimization:
    given = {"optimizer": optimizer or {}, "schedule": schedule}
    return Optimization.of(Train.model_validate(given))


def test_published_schedule_in_figures() -> None:
    length = Length(700, 50)
    chosen = recipe({"lr": 1e-3}, warmup_steps=100, warmup_factor=0.1, final_lr=0.0)
    found = [chosen.learning_rate(step, length) for step in (0, 50, 100, 350, 700)]
    whole = [0.5 * (1 + math.cos(math.pi * step / 700)) for step in (0, 50, 100, 350, 700)]
    expected = [f * w * 1e-3 for f, w in zip((0.1, 0.55, 1, 1, 1), whole, strict=True)]
    assert found == pytest.approx(expected, rel=1e-12)
    assert found[3] == pytest.approx(5e-4)


@given(rates, rates, st.integers(0, 400), st.floats(0, 1), st.integers(1, 1000), st.data())
def test_the_usual_schedule_is_a_cosine_below_its_warmup(
    base: float, final: float, warmup: int, factor: float, total: int, data: st.DataObject
) -> None:
    """To the last bit: a training of before continues as it began."""
    length = Length(total, 1.0)
    chosen = recipe({"lr": base}, warmup_steps=warmup, warmup_factor=factor, final_lr=final)
    step = data.draw(st.integers(0, total))
    found = chosen.learning_rate(step, length)
    cosine = 0.5 * (1 + math.cos(math.pi * step / total))
    expected = final + (base - final) * cosine
    if step < warmup:
        expected *= factor + (1 - factor) * step / warmup
    assert found == expected
    assert 0 <= found <= max(base, final) * (1 + 1e-12)


def test_momentum_is_there_before_the_first_step() -> None:
    """A first step that overflows under float16 leaves it alone."""
    model = nn.Linear(3, 1, bias=False)
    sgd = recipe({"lr": 0.1, "momentum": 0.9}).build_optimizer(model)
    assert torch.equal(sgd.state[model.weight]["momentum_buffer"], torch.zeros(1, 3))


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_what_was_learnt_is_laid_out_as_the_weights_are(name: str) -> None:
    """A GPU keeps weights channels last, and kernels walk through memory."""
    values, stepped = torch.randn(4, 3, 2, 2), []
    saved: dict[str, Any] = {}
    for layout in (torch.channels_last, torch.contiguous_format):
        weight = nn.Parameter(values.clone(memory_format=layout))
        optimizer = recipe({"name": name, "lr": 0.1}).build_optimizer(nn.ParameterList([weight]))
        if saved:
            load_optimizer(optimizer, saved)
        else:
            weight.grad = values.sin().contiguous(memory_format=layout)
            optimizer.step()
            saved = deepcopy(optimizer.state_dict())
            weight.data.copy_(values)
        weight.grad = values.cos().contiguous(memory_format=layout)
        optimizer.step()
        stepped.append(weight.detach().clone())
    torch.testing.assert_close(*stepped)


def test_optimizers_follow_their_settings() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model[0].bias.requires_grad_(False)
    adamw = recipe({"name": "adamw", "lr": 0.1, "weight_decay": 0.3}).build_optimizer(model)
    sgd = recipe({"lr": 0.2, "momentum": 0.7, "weight_decay": 0.01}).build_optimizer(model)
    assert isinstance(adamw, torch.optim.AdamW)
    assert isinstance(sgd, torch.optim.SGD)
    for optimizer in (adamw, sgd):
        (group,) = optimizer.param_groups
        assert [id(p) for p in group["params"]] == [
            id(p) for p in (model[0].weight, model[1].weight, model[1].bias)
        ]
    assert (adamw.param_groups[0]["lr"], adamw.param_groups[0]["weight_decay"]) == (0.1, 0.3)
    assert (sgd.param_groups[0]["momentum"], sgd.param_groups[0]["weight_decay"]) == (0.7, 0.01)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("sgd", lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9, weight_decay=1e-5)),
        ("adamw", lambda w: torch.optim.AdamW(w, lr=0.1, weight_decay=1e-5)),
    ],
)
def test_weights_after_some_steps_are_those_of_torchs_own(name: str, plain: Any) -> None:
    one, other = (nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3))
    other.load_state_dict(one.state_dict())
    ours = recipe({"name": name, "lr": 0.1}).build_optimizer(one)
    theirs = plain(other.parameters())
    for seed in range(5):
        for model, optimizer in ((one, ours), (other, theirs)):
            torch.manual_seed(seed)
            model(torch.rand(2, 3, 8, 8)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    for ours_, theirs_ in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours_, theirs_, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("spared", "free"),
    [
        (True, ["0.bias", "1.weight", "1.bias"]),
        (["norm"], ["1.weight", "1.bias"]),
        (["bias"], ["0.bias", "1.bias"]),
        (False, []),
    ],
)
def test_weights_that_do_not_decay(spared: Any, free: list[str]) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    for name in ("sgd", "adamw"):
        chosen = {"name": name, "lr": 0.1, "weight_decay": 0.5, "no_decay": spared}
        optimizer = recipe(chosen).build_optimizer(model)
        decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
        names = {id(p): name for name, p in model.named_parameters()}
        assert sorted(names[p] for p, value in decay.items() if value == 0.0) == sorted(free)
        assert set(decay) == set(names)
        assert set(decay.values()) <= {0.0, 0.5}


def test_nesterov_looks_ahead() -> None:
    weight = nn.Parameter(torch.tensor([2.0]))
    chosen = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0, "nesterov": True}
    optimizer = recipe(chosen).build_optimizer(nn.ParameterList([weight]))
    expected, velocity = 2.0, 0.0
    for gradient in (1.0, -0.5, 0.25):
        weight.grad = torch.tensor([gradient])
        optimizer.step()
        velocity = 0.9 * velocity + gradient
        expected -= 0.1 * (gradient + 0.9 * velocity)
        assert weight.item() == pytest.approx(expected, rel=1e-6)


def test_an_optimiser_of_timm_by_its_name() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    chosen = {"name": "timm", "opt": "lamb", "lr": 0.1, "weight_decay": 0.2, "no_decay": True}
    lamb = recipe(chosen | {"options": {"betas": [0.8, 0.9]}})
    made = lamb.build_optimizer(model)
    assert type(made).__name__ == "Lamb"
    assert [g["weight_decay"] for g in made.param_groups] == [0.2, 0.0]
    assert {tuple(g["betas"]) for g in made.param_groups} == {(0.8, 0.9)}
    assert not lamb.capturable  # it counts its steps on the host
    for options, found in (
        ({"opt": "lambb"}, r"timm has no optimiser 'lambb' \(did you mean 'lamb'"),
        ({"options": {"beta": 1}}, "timm's 'lamb' refuses its options"),
    ):
        with pytest.raises(UserError, match=found):
            recipe(chosen | options).build_optimizer(model)


def test_what_an_optimiser_counts_is_restored() -> None:
    """Lamb keeps the number of its steps in its groups."""
    chosen, runs = recipe({"name": "timm", "opt": "lamb", "lr": 0.1}), []
    for restarts in (False, True):
        model = nn.Linear(2, 1)
        nn.init.ones_(model.weight)
        optimizer = chosen.build_optimizer(model)
        for step in range(6):
            if restarts and step == 3:
                saved, optimizer = optimizer.state_dict(), chosen.build_optimizer(model)
                load_optimizer(optimizer, deepcopy(saved))
            model.weight.grad = torch.tensor([[1.0, -0.1 * step]])
            optimizer.step()
        runs.append(model.weight.detach())
    assert torch.equal(*runs)


def test_the_rates_of_yolox() -> None:
    """At 100 steps an epoch: 5 epochs of a parabola from 0, a cosine, 15 epochs at 5 %."""
    chosen = recipe(
        {"lr": 0.01},
        warmup="quadratic", warmup_steps="5 epochs", warmup_factor=0, after_warmup=True,
        final_factor=0.05, final_steps="15 epochs",
    )  # fmt: skip
    length = Length(30_000, 100)
    expected = {0: 0, 1: 4e-8, 250: 0.0025, 500: 0.01, 14_500: 0.00525, 28_500: 5e-4, 29_999: 5e-4}
    for step, rate in expected.items():
        assert chosen.learning_rate(step, length) == pytest.approx(rate, rel=1e-9)


def test_rates_in_steps_and_without_any() -> None:
    steps = recipe({"lr": 1}, name="multi_step", milestones=[0.5, 90], gamma=0.1, warmup_steps=0)
    constant = recipe({"lr": 1}, name="constant", warmup_steps=10, warmup_factor=0.5)
    length = Length(100, 10)
    assert [steps.learning_rate(s, length) for s in (0, 49, 50, 89, 90)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01]
    )
    assert [constant.learning_rate(s, length) for s in (0, 5, 10, 99)] == [0.5, 0.75, 1, 1]


def test_sgd_step_in_closed_form() -> None:
    weight = nn.Parameter(torch.tensor([2.0]))
    chosen = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.5}
    optimizer = recipe(chosen).build_optimizer(nn.ParameterList([weight]))
    expected, velocity = 2.0, 0.0
    for gradient in (1.0, -0.5, 0.25):
        weight.grad = torch.tensor([gradient])
        optimizer.step()
        velocity = 0.9 * velocity + gradient + 0.5 * expected
        expected -= 0.1 * velocity
        assert weight.item() == pytest.approx(expected, rel=1e-6)


def test_a_failing_replace_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.pt"
    write_atomic(path, b"before")

    def fail(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(UserError, match="No space left on device"):
        write_atomic(path, b"after")
    assert path.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]


def test_what_killed_processes_left_of_a_file_goes_with_its_next_version(tmp_path: Path) -> None:
    def left_by(process: int, host: str, name: str = "state.pt") -> Path:
        path = tmp_path / f".{name}.{process}.{host}.tmp"
        path.write_text("half")
        return path

    ended = subprocess.Popen(["true"])
    ended.wait()
    gone = left_by(ended.pid, socket.gethostname())
    kept = [
        left_by(os.getppid(), socket.gethostname()),
        left_by(ended.pid, "another"),
        left_by(ended.pid, socket.gethostname(), "other.pt"),
    ]
    write_atomic(tmp_path / "state.pt", b"whole")
    assert not gone.exists()
    assert all(path.exists() for path in kept)


def test_a_file_that_grows_past_the_limit_leaves_the_old_one(tmp_path: Path) -> None:
    """A real failing write: the kernel refuses the bytes that exceed RLIMIT_FSIZE."""
    path = tmp_path / "checkpoint.pt"
    save_atomic(path, {"weights": torch.arange(10)})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(UserError, match=r"checkpoint\.pt: cannot be written: File too large"):
            save_atomic(path, {"weights": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert load_safely(path)["weights"].tolist() == list(range(10))
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_damaged_and_hostile_files_are_one_line(tmp_path: Path) -> None:
    whole, cut, hostile = tmp_path / "whole", tmp_path / "cut", tmp_path / "hostile"
    save_atomic(whole, {"weights": torch.zeros(1000)})
    cut.write_bytes(whole.read_bytes()[:700])
    marker = tmp_path / "ran"

    class Runs:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {marker}",)

    hostile.write_bytes(pickle.dumps(Runs(), protocol=2))
    for path in (cut, hostile):
        with pytest.raises(UserError, match="not a readable training file") as found:
            load_safely(path)
        assert "\n" not in str(found.value)
    assert not marker.exists()


def draw() -> tuple[float, float, float]:
    return torch.rand(()).item(), float(np.random.normal()), random.gauss(0, 1)


def test_random_states_survive_a_safe_file(tmp_path: Path) -> None:
    draw()
    save_atomic(tmp_path / "rng", capture_rng(CPU))
    first = [draw() for _ in range(3)]
    restore_rng(load_safely(tmp_path / "rng"), CPU)
    assert [draw() for _ in range(3)] == first


def test_preserved_rng_hides_what_runs_inside() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with preserved_rng():
        draw()
    assert torch.equal(torch.rand(3), expected)


def test_log_drops_what_lies_past_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = TrainLog(path, keep_until=0)
    for step in (1, 2, 3):
        log.append({"step": step, "loss": 0.5, "rate": math.nan})
    assert [line["step"] for line in read_json_lines(path)] == [1, 2, 3]  # flushed
    path.write_text(path.read_text() + '{"step": 4, "lo')
    log = TrainLog(path, keep_until=2)
    log.append({"step": 3, "loss": 0.25, "rate": 1.0})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(1, 0.5), (2, 0.5), (3, 0.25)]
    assert lines[0]["rate"] is None


def test_window_means_and_the_first_bad_value() -> None:
    window, accelerator = LossWindow(), Accelerator(cpu=True)
    for step, value in enumerate((1.0, 2.0, 6.0), start=1):
        window.add(step, {"a": torch.tensor(value), "b": torch.tensor(0.0)})
    assert window.means(accelerator) == {"a": 3.0, "b": 0.0}
    assert window.first_bad(accelerator) is None
    window.reset()
    window.add(4, {"a": torch.tensor(1.0), "b": torch.tensor(-math.inf)})
    window.add(5, {"a": torch.tensor(math.nan), "b": torch.tensor(math.nan)})
    assert str(window.first_bad(accelerator)) == "b became infinite at step 4"


def test_window_goes_on_from_its_state() -> None:
    window, later, accelerator = LossWindow(), LossWindow(), Accelerator(cpu=True)
    window.add(1, {"a": torch.tensor(0.1)})
    later.load_state_dict(window.state_dict(), CPU)
    for each in (window, later):
        each.add(2, {"a": torch.tensor(0.7)})
    assert later.means(accelerator) == window.means(accelerator)


def test_ema_in_closed_form() -> None:
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(5.0)
    ema, average = build_ema(model, Train(ema_decay=0.6)), 5.0
    assert ema is not None
    for step in range(1, 30):
        model.weight.data.fill_(1 / step)
        ema.update(model, step=step)
        warm = min(0.6, 1 - (1 + step - 1) ** (-2 / 3)) if step > 1 else 0.0
        average = warm * average + (1 - warm) / step
        assert ema.module.weight.item() == pytest.approx(average, rel=1e-5)


def test_the_average_of_yolox() -> None:
    """Its published decays; and a step in closed form."""
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(5.0)
    ema = build_ema(model, Train(ema={"decay": 0.9998, "ramp": 2000}))
    assert ema is not None
    expected = {1: 0.00049977505, 100: 0.048760821, 2000: 0.63199413, 20_000: 0.99975461}
    assert {s: ema.get_decay(s) for s in expected} == pytest.approx(expected, rel=1e-6)
    model.weight.data.fill_(1.0)
    ema.update(model, step=2000)
    assert ema.module.weight.item() == pytest.approx(1 + 4 * 0.63199413, rel=1e-6)
    assert build_ema(model, Train()) is None


def test_clock_leaves_the_first_step_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("harness.stages.train.clock.time.perf_counter", lambda: now[0])
    clock = Clock(sessions=1)
    for wait, work, settled in ((50.0, 10.0, False), (1.0, 3.0, True), (0.5, 3.5, True)):
        with clock.step(settled):
            with clock.waiting():
                now[0] += wait
            clock.count(8)
            now[0] += work
    assert (clock.steps, clock.images, clock.first_steps, clock.first_steps_seconds) == (
        2,
        16,
        1,
        60.0,
    )
    assert clock.lap() == (2.0, 1.5 / 8)
    assert math.isnan(clock.lap()[0])
    now[0] += 7
    assert clock.state_dict()["wall_seconds"] == 75.0
    assert Clock(**clock.state_dict()) == clock


def test_first_signal_is_noted_and_its_echo_ignored() -> None:
    before = signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signum == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is before


def test_second_signal_meets_the_old_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.stages.train.launch.ECHO_SECONDS", 0.0)
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signum == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
