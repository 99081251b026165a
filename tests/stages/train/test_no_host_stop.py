"""A training step reads nothing back from the device, which would make a GPU wait."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import harness
from harness.data.batch import Targets
from harness.data.photometric import BatchDistortion as BatchColours
from harness.data.photometric import UndistortedInputs
from harness.data.photometric import draw_distortion as draw_colours
from harness.manifest.schema import Train
from harness.stages.train.launch import start_accelerator
from harness.stages.train.step import Batch
from harness.stages.train.training import Training

pytestmark = pytest.mark.slow

SUITE = Path(__file__).parents[3] / "suites" / "tinydet.yaml"
SIDE = 192  # pixels
# what a GPU must be waited for: a value, or a size that depends on values
STOPS = {
    "aten::_local_scalar_dense",
    "aten::item",
    "aten::is_nonzero",
    "aten::nonzero",
    "aten::equal",
    "aten::masked_select",
    "aten::unique",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::unique_consecutive",
    "aten::bincount",
    "aten::repeat_interleave.Tensor",
    "torchvision::nms",
    "aten::lift_fresh",  # a tensor made of Python numbers: copied over, and waited for
}


class Reads(TorchDispatchMode):
    """Counts operations that wait for the device; an index by a mask shows as `nonzero`."""

    def __init__(self) -> None:
        super().__init__()
        self.stops: list[str] = []

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = op.name()
        masks = name.startswith("aten::index") and any(
            isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8)
            for i in (args[1] if isinstance(args[1], list | tuple) else ())
        )
        if masks or name in STOPS or name.split(".")[0] in STOPS:
            self.stops.append(name)
        return op(*args, **(kwargs or {}))


@contextmanager
def counted() -> Iterator[list[str]]:
    reads = Reads()
    with reads:
        yield reads.stops


def batch(side: int = SIDE, images: int = 2) -> Batch:
    """Random images with boxes and with colours to be changed on the device."""
    torch.manual_seed(0)
    size = torch.tensor([[side, side]] * images)
    corners = torch.rand(images, 5, 2) * side * 0.6
    boxes = torch.cat([corners, corners + 20 + torch.rand(images, 5, 2) * side * 0.3], 2)
    colours = BatchColours.of(
        [draw_colours() for _ in range(images)], [(0, 0, side, side), (9, 9, 200, 99)]
    )
    pixels = torch.randint(0, 256, (images, 3, side, side), dtype=torch.uint8)
    inputs = UndistortedInputs(pixels, size, torch.ones(images, 2), size, colours)
    labels = torch.randint(0, 3, (images, 5))
    return inputs, Targets(boxes, labels, torch.tensor([5, 3]))


def training(detector: Any, folder: Path, **changes: Any) -> Training:
    class Loader:
        steps_per_epoch = 100
        most_boxes = 5

        def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
            raise NotImplementedError

    settings = Train.model_validate({"steps": 100, "optimizer": {"lr": 1e-3}, **changes})
    accelerator = start_accelerator(settings, torch.device("cpu"), 0)
    return Training(detector, Loader(), settings, accelerator, folder, {"fingerprint": "x"})


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("tinydet_s", {}),
        ("tinydet_m", {}),
        ("tinydet_s", {"optimizer": {"name": "adamw", "lr": 1e-3}, "ema_decay": 0.9}),
        ("tinydet_s", {"accumulate": 2, "precision": "bfloat16"}),
    ],
)
def test_a_step_of_tinydet_never_waits_for_the_device(
    name: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    detector = harness.build(SUITE, name, overrides=[f"detectors.*.input.size={SIDE}"])
    made = training(detector, tmp_path, **changes)
    micro = [batch() for _ in range(made.settings.accumulate)]
    with counted() as stops:
        made.advance(micro)
        made.advance(micro)
    made.release()
    assert stops == []
    assert made.step == 2


def test_reads_are_seen() -> None:
    values = torch.arange(4.0)
    with counted() as stops:
        values[values > 1]
        float(values[0])
        if values[1] > 0:
            values.nonzero()
        torch.unique(values)
        torch.tensor([1.0, 2.0])
    assert len(stops) == 6
