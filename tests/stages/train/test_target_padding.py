"""Rows of padding in the targets change nothing: the same losses and the same gradients."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

import harness
from harness.data.batch import Inputs, Targets
from harness.model.detector import Detector
from harness.stages.train.capture import Buffers
from harness.stages.train.step import Batch

SUITE = Path(__file__).parents[3] / "suites" / "tinydet.yaml"
SIDE = 128


def batch() -> Batch:
    """Two images, one of them with a row of padding to begin with."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2, 3, SIDE, SIDE), generator=generator).to(torch.uint8)
    corners = torch.rand(2, 5, 2, generator=generator) * SIDE * 0.6
    boxes = torch.cat([corners, corners + 12 + torch.rand(2, 5, 2, generator=generator) * 40], 2)
    counts, size = torch.tensor([5, 4]), torch.tensor([[SIDE, SIDE]] * 2)
    boxes[1, 4] = 0
    labels = torch.tensor([[0, 1, 2, 0, 1], [2, 1, 0, 2, 0]])
    return Inputs(pixels, size, torch.ones(2, 2), size), Targets(boxes, labels, counts)


def learn(detector: Detector, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    inputs, targets = batch
    torch.manual_seed(1)
    detector.zero_grad()
    losses = detector.losses(detector.prepare(inputs), targets)
    torch.stack(list(losses.values())).sum().backward()
    return losses, {n: p.grad for n, p in detector.named_parameters() if p.grad is not None}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tinydet_s", "tinydet_m", "ssdlite320", "fasterrcnn320"])
def test_padding_changes_neither_losses_nor_gradients(name: str) -> None:
    torch.manual_seed(0)
    size = [f"detectors.{name}.input.size={SIDE}"] if name.startswith("tinydet") else []
    detector = harness.build(SUITE, name, overrides=size).train()
    tight = batch()
    buffers = Buffers([tight], most_boxes=21, device=torch.device("cpu"))
    buffers.fill([tight])
    (padded,) = buffers.micro
    assert padded[1].labels.shape[1] == 24
    before, gradients = learn(detector, tight)
    gradients = {name: gradient.clone() for name, gradient in gradients.items()}
    after, others = learn(detector, padded)
    assert len(gradients) > 50
    assert all(loss > 0 for loss in before.values())
    # the same sums, perhaps in another order
    for found, wanted in ((after, before), (others, gradients)):
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-6, msg=key)
