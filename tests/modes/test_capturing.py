"""Captured functions on a machine without a GPU: a recording that is played by calling again."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.data.batch import Inputs
from harness.errors import CellError
from harness.modes import capturing
from harness.modes.blame import find_obstacle
from harness.modes.capturing import Captured, Recording

Function = Callable[[Inputs], Any]


def inputs_of(value: float, width: int = 4) -> Inputs:
    two = torch.full((1, 2), value)
    return Inputs(torch.full((1, 3, 4, width), value), two, two, two)


def total(inputs: Inputs) -> Tensor:
    return inputs.pixels.sum() + inputs.sizes.sum()


def waits_by_mask(inputs: Inputs) -> Tensor:
    return inputs.pixels[inputs.pixels > 0]


def waits_for_a_value(inputs: Inputs) -> float:
    return float(inputs.pixels.sum())


def waits_for_a_count(inputs: Inputs) -> Tensor:
    return (inputs.pixels > 0).nonzero()


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Inputs]:
    """Memory of each recording."""
    found: list[Inputs] = []

    def record(function: Function, inputs: Inputs) -> Recording:
        result = torch.zeros(())
        found.append(inputs)
        return Recording(lambda: result.copy_(function(inputs)) and None, inputs, result)

    monkeypatch.setattr(capturing, "record", record)
    return found


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    def record(function: Function, inputs: Inputs) -> Recording:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(capturing, "record", record)


def test_each_shape_is_recorded_once_and_replayed_on_what_is_given(recorded: list[Inputs]) -> None:
    captured = Captured(total, total)
    for value in (1.0, 2.0, 3.0):
        assert captured(inputs_of(value)) == value * (48 + 2)
    assert len(recorded) == 1
    assert captured(inputs_of(1.0, width=5)) == 60 + 2
    assert len(recorded) == 2


def test_what_lies_in_the_graphs_memory_already_is_not_copied(recorded: list[Inputs]) -> None:
    captured = Captured(total, total)
    captured(inputs_of(1.0))
    own = recorded[0]
    own.pixels.fill_(7)
    versions = [x._version for x in own.tensors]
    assert captured(own) == 7 * 48 + 2
    assert [x._version for x in own.tensors] == versions


@pytest.mark.parametrize(
    ("function", "op"),
    [
        (waits_by_mask, "aten::index"),
        (waits_for_a_value, "aten::_local_scalar_dense"),
        (waits_for_a_count, "aten::nonzero"),
    ],
)
@pytest.mark.usefixtures("failing")
def test_a_failed_capture_names_the_op_and_who_calls_it(function: Function, op: str) -> None:
    with pytest.raises(CellError) as caught:
        Captured(function, function)(inputs_of(1.0))
    line = str(caught.value)
    assert line.startswith(f"cuda_graph cannot capture {op} (called from ")
    assert line.endswith(f" {function.__name__})")
    assert "test_capturing.py:" in line


@pytest.mark.usefixtures("failing")
def test_a_failure_of_no_known_op_says_what_torch_says() -> None:
    with pytest.raises(CellError, match="by no op that is known to wait: CUDA error: operation"):
        Captured(total, total)(inputs_of(1.0))


def test_what_only_launches_is_no_obstacle() -> None:
    assert find_obstacle(total, inputs_of(1.0)) == ""
    gathered = find_obstacle(lambda i: i.pixels[torch.tensor([0])], inputs_of(1.0))
    assert gathered == ""  # by numbers, not by a mask
