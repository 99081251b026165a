"""Captured functions on a machine without a GPU: a recording that is played by calling again."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.data.batch import Inputs
from harness.data.resize import ResizedImage, collate_images
from harness.errors import CellError
from harness.modes import capturing
from harness.modes.capturing import Captured, Recording, find_obstacle

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
    versions = [x._version for x in own.tensors()]
    assert captured(own) == 7 * 48 + 2
    assert [x._version for x in own.tensors()] == versions


def resized(value: int, width: int = 4, scale: float = 0.5) -> ResizedImage:
    pixels = torch.full((3, 4, width), value, dtype=torch.uint8)
    return ResizedImage(pixels, (scale, scale), (8, 8))


def test_images_are_placed_where_the_graph_reads_them(recorded: list[Inputs]) -> None:
    captured = Captured(total, total)
    images = [resized(1), resized(2)]
    assert captured.place(images) is None  # before the first call
    captured(collate_images(images, divisor=4))
    placed = captured.place([resized(3), resized(4)])
    assert placed is recorded[0]
    assert captured(placed) == 7 * 48 + 4 * 4
    assert torch.equal(placed.scales, torch.full((2, 2), 0.5))
    versions = [x._version for x in list(placed.tensors())[1:]]
    captured.place(images)
    assert [x._version for x in list(placed.tensors())[1:]] == versions  # the same sizes as before
    captured.place([resized(1), resized(2, scale=0.25)])
    assert placed.scales.tolist() == [[0.5, 0.5], [0.25, 0.25]]


def test_a_batch_from_elsewhere_is_not_taken_for_the_one_that_was_placed(
    recorded: list[Inputs],
) -> None:
    captured, images = Captured(total, total), [resized(1)]
    captured(collate_images(images, divisor=4))
    captured.place(images)
    captured(collate_images([resized(1, scale=0.25)], divisor=4))
    captured.place(images)
    assert recorded[0].scales.tolist() == [[0.5, 0.5]]


def test_images_that_must_be_padded_have_no_place(recorded: list[Inputs]) -> None:
    captured = Captured(total, total)
    captured(collate_images([resized(1), resized(2)], divisor=4))
    assert captured.place([resized(1), resized(2, width=3)]) is None


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
    with pytest.raises(CellError, match="not in an op known to wait: CUDA error: operation"):
        Captured(total, total)(inputs_of(1.0))


def test_what_only_launches_is_no_obstacle() -> None:
    assert find_obstacle(total, inputs_of(1.0)) == ""
    gathered = find_obstacle(lambda i: i.pixels[torch.tensor([0])], inputs_of(1.0))
    assert gathered == ""  # by numbers, not by a mask


def test_a_move_to_another_device_is_named_in_inference_mode_too() -> None:
    for move in (lambda x: x.to("meta"), lambda x: x.to(device=torch.device("meta"))):
        with torch.inference_mode():
            found = find_obstacle(lambda i, move=move: move(i.pixels), inputs_of(1.0))
        assert found.startswith(("aten::to", "aten::_to_copy"))
    with torch.inference_mode():
        assert find_obstacle(lambda i: i.pixels.to(torch.float64), inputs_of(1.0)) == ""


def test_a_full_memory_is_told_as_that() -> None:
    def run(inputs: Inputs) -> Tensor:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory")
        finally:  # as torch's own end of a capture does
            raise RuntimeError("operation failed due to a previous error during capture")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(capturing, "record", lambda function, inputs: function(inputs))
        with pytest.raises(torch.OutOfMemoryError):
            Captured(run, run)(inputs_of(1.0))
