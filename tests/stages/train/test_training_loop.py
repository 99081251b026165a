"""The loop on a toy: lengths, clipping, accumulation, averages, bad losses, repeats, signals."""

import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from toy_training import SEED, ToyDetector, ToyLoader, toy_settings

from harness.errors import CellError, Interrupted, UserError
from harness.manifest.schema import Train
from harness.model.checkpoint import read_checkpoint
from harness.stages.train.loop import train
from harness.stages.train.result import Progress, TrainResult
from harness.stages.train.state import load_safely

pytestmark = pytest.mark.slow

StateDict = dict[str, Tensor]


def run(
    folder: Path, detector: ToyDetector | None = None, settings: Train | None = None, **changes: Any
) -> TrainResult:
    settings = settings or toy_settings()
    given = {"seed": SEED, "folder": folder, "fingerprint": "toy"} | changes
    loader = ToyLoader(settings.batch_size)
    return train(detector or ToyDetector(), lambda rank, world: loader, settings, **given)


def weights(folder: Path) -> StateDict:
    return dict(read_checkpoint(folder / "checkpoint.pt").state)


def assert_equal(a: StateDict, b: StateDict) -> None:
    assert a.keys() == b.keys()
    assert [k for k in a if not torch.equal(a[k], b[k])] == []


def stop_at(step: int, signum: int) -> Callable[[Progress], None]:
    def watch(progress: Progress) -> None:
        if progress.step == step:
            os.kill(os.getpid(), signum)

    return watch


def log_lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "train_log.jsonl").read_text().splitlines()]


def test_training_learns_and_tells(tmp_path: Path) -> None:
    seen: list[Progress] = []
    detector = ToyDetector()
    result = run(tmp_path, detector, toy_settings(epochs=20), on_progress=seen.append)
    found = {(m.metric, m.scope): m for m in result.measurements}
    lines = log_lines(tmp_path)
    assert result.steps == 100
    assert [p.step for p in seen] == list(range(1, 101))
    assert {p.total for p in seen} == {100}
    assert [line["step"] for line in lines] == [*range(3, 100, 3), 100]
    assert lines[-1]["loss_cls"] < 0.5 * lines[0]["loss_cls"]
    assert seen[-1].losses["loss_cls"] == lines[-1]["loss_cls"]
    assert found["train_loss", "loss/loss_cls"].value == lines[-1]["loss_cls"]
    total = lines[-1]["loss_cls"] + lines[-1]["loss_box"]
    assert found["train_loss", ""].value == pytest.approx(total)
    assert found["train_images_per_second", ""].value > 0
    assert 0 < found["train_loader_wait", ""].value < 1
    assert found["train_wall_time", ""].value > 0
    assert found["train_peak_memory", ""].value > 10
    assert not detector.training
    assert_equal(dict(detector.state_dict()), weights(tmp_path))
    assert read_checkpoint(result.checkpoint).meta["step"] == 100


class ToldDetector(ToyDetector):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[int, int, int]] = []

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        self.told.append((self.calls, epoch, epochs))


def test_the_detector_is_told_of_each_epoch_before_its_first_step(tmp_path: Path) -> None:
    per_epoch = ToyLoader().steps_per_epoch
    whole, begun, resumed = ToldDetector(), ToldDetector(), ToldDetector()
    run(tmp_path / "whole", whole, toy_settings(epochs=3))
    assert whole.told == [(per_epoch * epoch, epoch, 3) for epoch in range(3)]
    with pytest.raises(Interrupted):
        run(
            tmp_path / "stopped", begun, toy_settings(epochs=3),
            on_progress=stop_at(per_epoch + 2, signal.SIGTERM),
        )  # fmt: skip
    run(tmp_path / "stopped", resumed, toy_settings(epochs=3), resume=True)
    assert resumed.told == [(0, 1, 3), (per_epoch - 2, 2, 3)]


class ClosedDetector(ToyDetector):
    def __init__(self) -> None:
        super().__init__()
        self.closed_at: list[int] = []

    def begin_last_phase(self) -> None:
        self.closed_at.append(self.calls)


@pytest.mark.parametrize("close", [5, 0.25, "1 epoch"])
def test_the_detector_is_told_once_of_the_last_phase(
    tmp_path: Path, close: int | float | str
) -> None:
    """Of 20 steps, 5 an epoch."""
    whole, begun, resumed, never = (ClosedDetector() for _ in range(4))
    settings = toy_settings(close_augment=close)
    run(tmp_path / "whole", whole, settings)
    assert whole.closed_at == [15]
    run(tmp_path / "never", never)
    assert never.closed_at == []
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", begun, settings, on_progress=stop_at(17, signal.SIGTERM))
    run(tmp_path / "cut", resumed, settings, resume=True)
    assert (begun.closed_at, resumed.closed_at) == ([15], [0])


def test_same_seed_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(tmp_path / name, seed=seed)
    assert_equal(weights(tmp_path / "a"), weights(tmp_path / "b"))
    a, c = weights(tmp_path / "a"), weights(tmp_path / "c")
    assert not torch.equal(a["head.weight"], c["head.weight"])


LAMB = {"name": "timm", "opt": "lamb", "lr": 0.02, "no_decay": True}  # it counts its steps itself


@pytest.mark.parametrize(
    ("step", "signum", "changes"),
    [
        (5, signal.SIGINT, {"ema_decay": 0.9}),
        (7, signal.SIGTERM, {"ema": {"decay": 0.9, "ramp": 5}, "optimizer": LAMB}),
    ],
)
def test_stopped_and_resumed_equals_uninterrupted(
    tmp_path: Path, signum: int, step: int, changes: dict[str, Any]
) -> None:
    settings = toy_settings(**changes)
    run(tmp_path / "whole", settings=settings)
    with pytest.raises(Interrupted, match=f"at step {step} of 20") as stopped:
        run(tmp_path / "cut", settings=settings, on_progress=stop_at(step, signum))
    assert stopped.value.exit_code == 128 + signum
    assert read_checkpoint(tmp_path / "cut" / "checkpoint.pt").meta["step"] == step
    resumed = run(tmp_path / "cut", settings=settings, resume=True)
    assert_equal(weights(tmp_path / "cut"), weights(tmp_path / "whole"))
    timed = ("images_per_second", "wait_share")
    cut, whole = (
        [{k: v for k, v in line.items() if k not in timed} for line in log_lines(tmp_path / name)]
        for name in ("cut", "whole")
    )
    assert cut == whole
    (wall,) = [m for m in resumed.measurements if m.metric == "train_wall_time"]
    assert wall.conditions["sessions"] == 2


def test_accumulation_mid_epoch_resumes_too(tmp_path: Path) -> None:
    settings = toy_settings(epochs=None, steps=11, accumulate=3, batch_size=2)
    run(tmp_path / "whole", settings=settings)
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", settings=settings, on_progress=stop_at(4, signal.SIGTERM))
    run(tmp_path / "cut", settings=settings, resume=True)
    assert_equal(weights(tmp_path / "cut"), weights(tmp_path / "whole"))


def test_signal_before_the_first_step_and_in_the_last(tmp_path: Path) -> None:
    def loader_with_signal(rank: int, world: int) -> ToyLoader:
        os.kill(os.getpid(), signal.SIGTERM)
        return ToyLoader()

    with pytest.raises(Interrupted, match="at step 0 of 20"):
        train(ToyDetector(), loader_with_signal, toy_settings(), seed=SEED, folder=tmp_path)
    with pytest.raises(Interrupted, match="at step 20 of 20"):
        run(
            tmp_path,
            resume=True,
            fingerprint="",
            on_progress=stop_at(20, signal.SIGTERM),
        )
    assert run(tmp_path, resume=True, fingerprint="").steps == 20


def test_a_training_that_is_done_is_not_repeated(tmp_path: Path) -> None:
    first = run(tmp_path)
    detector = ToyDetector()
    again = train(
        detector,
        lambda rank, world: pytest.fail("no loader is needed"),
        toy_settings(),
        seed=SEED,
        folder=tmp_path,
        fingerprint="toy",
    )
    assert again == first
    assert_equal(dict(detector.state_dict()), weights(tmp_path))
    assert not detector.training


def test_without_resume_a_training_begins_anew(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, on_progress=stop_at(7, signal.SIGTERM))
    result = run(tmp_path)
    (wall,) = [m for m in result.measurements if m.metric == "train_wall_time"]
    assert wall.conditions["sessions"] == 1
    assert [line["step"] for line in log_lines(tmp_path)] == [*range(3, 20, 3), 20]


CONSTANT = {"warmup_steps": 0, "final_lr": 0.02}  # the rate of `toy_settings`


@pytest.mark.parametrize("cut", [False, True])
def test_a_longer_training_goes_on_from_a_shorter_one(tmp_path: Path, cut: bool) -> None:
    """Under a constant rate its weights are those of a training that was that long from the start.

    Args:
        cut: the shorter training was interrupted, not finished.
    """
    short, long = (toy_settings(epochs=n, ema_decay=0.9, schedule=CONSTANT) for n in (2, 4))
    identities = [{"train": settings.model_dump()} for settings in (short, long)]
    run(tmp_path / "whole", settings=long)
    if cut:
        stop = stop_at(7, signal.SIGTERM)
        with pytest.raises(Interrupted):
            run(tmp_path / "two", settings=short, identity=identities[0], on_progress=stop)
    else:
        run(tmp_path / "two", settings=short, identity=identities[0])
    told: list[str] = []
    result = run(
        tmp_path / "two", settings=long, identity=identities[1], fingerprint="longer", resume=True,
        on_progress=lambda progress: told.append(progress.doing),
    )  # fmt: skip
    assert_equal(weights(tmp_path / "two"), weights(tmp_path / "whole"))
    assert result.measurements[0].conditions.get("continued_from_steps") is None  # a loss
    [wall] = [m for m in result.measurements if m.metric == "train_wall_time"]
    assert wall.conditions["continued_from_steps"] == [10]
    at = 7 if cut else 10
    assert told[0].startswith(f"goes on from step {at} to 20 instead of 10: the learning rate")
    assert not any(told[1:])


def test_the_new_course_of_a_cosine_is_told(tmp_path: Path) -> None:
    settings = [toy_settings(epochs=n, schedule={"warmup_steps": 0}) for n in (2, 4)]
    short, long = settings
    run(tmp_path, settings=short, identity={"train": short.model_dump()})
    told: list[str] = []
    run(
        tmp_path, settings=long, identity={"train": long.model_dump()}, fingerprint="longer",
        resume=True, on_progress=lambda progress: told.append(progress.doing),
    )  # fmt: skip
    assert told[0].endswith("of a training of 20 steps, 0.01 instead of 0")


def test_a_shorter_training_does_not_go_on_from_a_longer_one(tmp_path: Path) -> None:
    long, short = (toy_settings(epochs=n) for n in (4, 2))
    run(tmp_path, settings=long, identity={"train": long.model_dump()})
    with pytest.raises(UserError, match="has taken 20 steps, more than 10"):
        run(
            tmp_path, settings=short, identity={"train": short.model_dump()},
            fingerprint="shorter", resume=True,
        )  # fmt: skip


def test_settings_that_differ_are_named(tmp_path: Path) -> None:
    before = {"train": {"optimizer": {"lr": 0.1}, "steps": 2}, "data": "a", "seed": [1, 2]}
    run(tmp_path, identity=before)
    now = {"train": {"optimizer": {"lr": 0.2}, "steps": 4}, "data": "a", "input": 3}
    with pytest.raises(UserError) as error:
        run(tmp_path, identity=now, fingerprint="other", resume=True)
    told = "input was None, is now 3; seed was [1, 2], is now None; train.optimizer.lr was 0.1, "
    assert told + "is now 0.2 and 1 more" in str(error.value)
    with pytest.raises(UserError, match="other settings: of the plan"):
        run(tmp_path, identity=before, fingerprint="other", resume=True)


def test_states_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, on_progress=stop_at(7, signal.SIGTERM))
    with pytest.raises(UserError, match="other settings: of the plan"):
        run(tmp_path, resume=True, fingerprint="other")
    with pytest.raises(UserError, match="another detector"):
        run(tmp_path, ToyDetector(norm=False), resume=True)
    (tmp_path / "state.pt").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(UserError, match="not a readable training file"):
        run(tmp_path, resume=True)


def test_done_without_its_checkpoint_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "checkpoint.pt").unlink()
    with pytest.raises(UserError, match=r"checkpoint\.pt is gone"):
        run(tmp_path, resume=True)


def test_nan_stops_at_its_step_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    detector = ToyDetector()
    detector.poison_at = 8
    with pytest.raises(CellError, match=r"^loss_box became NaN at step 8 \(learning rate 0\.01"):
        run(tmp_path, detector)
    assert read_checkpoint(tmp_path / "checkpoint.pt").meta["step"] == 5
    assert all(torch.isfinite(w).all() for w in weights(tmp_path).values())


def test_short_epochs_are_not_all_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.stages.train.training.SAVE_SHARE", 0.0)
    saved: list[int] = []

    def watch(progress: Progress) -> None:
        state = tmp_path / "state.pt"
        saved.append(load_safely(state)["step"] if state.exists() else 0)

    result = run(tmp_path, settings=toy_settings(epochs=4), on_progress=watch)
    assert saved == [0] * 5 + [5] * 15  # told before saving; the first epoch always is
    assert read_checkpoint(result.checkpoint).meta["step"] == 20


def test_clipping_bounds_the_step(tmp_path: Path) -> None:
    optimizer = {"name": "sgd", "lr": 1.0, "momentum": 0.0, "weight_decay": 0.0}
    schedule = {"warmup_steps": 0, "final_lr": 1.0}
    before = ToyDetector().state_dict()
    for limit in (1e-3, None):
        settings = toy_settings(
            epochs=None, steps=1, clip_norm=limit, optimizer=optimizer, schedule=schedule
        )
        settings = settings.model_copy(update={"log_every": 1})
        run(tmp_path / str(limit), settings=settings)
        after = weights(tmp_path / str(limit))
        moved = [after[k] - before[k] for k, _ in ToyDetector().named_parameters()]
        length = math.sqrt(sum(float(m.square().sum()) for m in moved))
        assert length == pytest.approx(1e-3, rel=1e-2) if limit else length > 0.1
    assert log_lines(tmp_path / "0.001")[0]["grad_norm"] > 0.1
    assert "grad_norm" not in log_lines(tmp_path / "None")[0]


def test_accumulating_equals_a_larger_batch(tmp_path: Path) -> None:
    for name, changes in (
        ("large", {"batch_size": 4}),
        ("small", {"batch_size": 2, "accumulate": 2}),
    ):
        settings = toy_settings(**changes, optimizer={"name": "sgd", "lr": 0.1})
        run(tmp_path / name, ToyDetector(norm=False, dropout=0.0), settings)
    large, small = weights(tmp_path / "large"), weights(tmp_path / "small")
    for key in large:
        torch.testing.assert_close(small[key], large[key], rtol=1e-4, atol=1e-6)
    assert len(log_lines(tmp_path / "small")) == len(log_lines(tmp_path / "large"))


def test_ema_is_what_is_saved_and_returned(tmp_path: Path) -> None:
    averaged, plain = ToyDetector(), ToyDetector()
    run(tmp_path / "ema", averaged, toy_settings(ema_decay=0.9))
    run(tmp_path / "plain", plain, toy_settings())
    assert_equal(dict(averaged.state_dict()), weights(tmp_path / "ema"))
    assert read_checkpoint(tmp_path / "ema" / "checkpoint.pt").meta["ema"] is True
    assert not torch.equal(averaged.head.weight, plain.head.weight)
    distance = (averaged.head.weight - plain.head.weight).abs().max()
    assert distance < (plain.head.weight - ToyDetector().head.weight).abs().max()


def test_bfloat16_trains_and_leaves_a_plain_detector(tmp_path: Path) -> None:
    detector = ToyDetector()
    run(tmp_path / "half", detector, toy_settings(precision="bfloat16"))
    assert "autocast" not in repr(detector.forward)
    assert {w.dtype for w in detector.parameters()} == {torch.float32}
    run(tmp_path / "full", toy := ToyDetector(), toy_settings())  # another precision, same process
    assert not torch.equal(toy.head.weight, detector.head.weight)


def test_impossible_settings_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="float16 needs a GPU"):
        run(tmp_path, settings=toy_settings(precision="float16"))
    with pytest.raises(UserError, match="cannot train on device 'meta'"):
        run(tmp_path, device="meta")
    with pytest.raises(UserError, match="has no length"):
        run(tmp_path, settings=toy_settings(epochs=None))
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no CUDA device"):
            run(tmp_path, device="cuda")


def test_a_disk_that_fills_up_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "whole")
    replace, calls = os.replace, 0

    def fill_up(source: Any, target: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 5:  # log, checkpoint, state, checkpoint, and now the second state
            raise OSError(28, os.strerror(28))
        replace(source, target)

    monkeypatch.setattr(os, "replace", fill_up)
    with pytest.raises(UserError, match=r"state\.pt: cannot be written: No space left"):
        run(tmp_path / "cut")
    monkeypatch.undo()
    run(tmp_path / "cut", resume=True)
    assert_equal(weights(tmp_path / "cut"), weights(tmp_path / "whole"))


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written: Not a directory"):
        run(tmp_path / "file" / "cell")
