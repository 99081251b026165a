"""In what a training computes: the flags at each forward and backward, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from torch import Tensor
from toy_training import SEED, ToyDetector, ToyLoader, toy_settings

from harness.errors import UserError
from harness.model.arithmetic import Flags, arithmetic, flags_of, read_flags
from harness.stages.train import launch
from harness.stages.train.loop import train


def seen_flags(folder: Path, precision: str) -> list[Flags]:
    """At every forward and backward of a training."""
    found: list[Flags] = []

    def note(*_: Any) -> None:
        found.append(read_flags())

    detector, settings = ToyDetector(), toy_settings(precision=precision)
    detector.head.register_forward_hook(note)
    detector.head.weight.register_hook(lambda gradient: note())
    loader = ToyLoader(settings.batch_size)
    train(detector, lambda rank, world: loader, settings, seed=SEED, folder=folder)
    return found


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_every_step_has_the_flags_of_the_precision(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "lacking", lambda precision, device: None)
    with arithmetic("float32" if precision == "tf32" else "tf32"):
        outside = read_flags()
        found = seen_flags(tmp_path, precision)
        assert read_flags() == outside
    assert len(found) >= 4
    assert all(flags == flags_of(precision) for flags in found)


def test_flags_are_put_back_after_a_training_that_failed(tmp_path: Path) -> None:
    detector = ToyDetector()

    def break_down(*_: Tensor) -> None:
        raise ZeroDivisionError

    detector.head.register_forward_hook(break_down)
    with arithmetic("tf32"), pytest.raises(ZeroDivisionError):
        train(
            detector, lambda rank, world: ToyLoader(4), toy_settings(), seed=SEED, folder=tmp_path
        )
    assert read_flags() != flags_of("tf32")


def test_tf32_needs_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.precision: tf32 needs an NVIDIA GPU"):
        seen_flags(tmp_path, "tf32")
