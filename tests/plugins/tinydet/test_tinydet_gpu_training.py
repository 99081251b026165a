"""What training on a GPU computes in other ways is what training on a CPU computes."""

from typing import Any

import pytest
import torch
from tinydet_golden import as_inputs, build, draw_pixels, load_drawn_weights
from torch import Tensor

from harness.data.batch import Targets
from harness.model.two_stage import TwoStageDetector
from harness_plugins.tinydet import backbones, fpn, separable

ON_GPU = (
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
)
SIDE = 192  # pixels
DEVICES = ["cpu", pytest.param("cuda", marks=ON_GPU)]


def losses_and_gradients(detector: TwoStageDetector, device: str) -> dict[str, Tensor]:
    torch.manual_seed(0)  # anchors are sampled
    inputs = as_inputs(draw_pixels(1, "batch", 2, SIDE).double()).to(device)
    boxes = torch.tensor([[[15.0, 20, 45, 60], [100, 5, 155, 40]], [[5, 5, 37, 37], [0] * 4]])
    targets = Targets(boxes, torch.tensor([[0, 1], [0, 0]]), torch.tensor([2, 1])).to(device)
    detector.zero_grad()
    losses = detector.losses(inputs, targets)
    torch.stack(list(losses.values())).sum().backward()
    gradients = {n: p.grad for n, p in detector.named_parameters() if p.grad is not None}
    return {**{name: loss.detach() for name, loss in losses.items()}, **gradients}


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["S", "M"])
def test_both_ways_give_equal_losses_and_gradients(
    name: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = build(name, num_classes=6, pixels=SIDE, samples=None, positive_fraction=1.0)
    load_drawn_weights(detector, 0)
    detector.to(device).double()  # a maximum among equals, a ReLU at zero: rounding would decide
    detector.rpn.anchors = detector.rpn.anchors.float()
    found: list[dict[str, Any]] = []
    for gpu in (False, True):
        for module in (backbones, fpn, separable):
            monkeypatch.setattr(module, "trains_on_gpu", lambda x, gpu=gpu: gpu)
        found.append(losses_and_gradients(detector, device))
    plain, on_gpu = found
    assert plain.keys() == on_gpu.keys()
    for key, wanted in plain.items():
        # of a bias before a batch norm the gradient is zero, and what is found is rounding
        largest = max(float(wanted.abs().max()), 1e-3)
        torch.testing.assert_close(on_gpu[key], wanted, rtol=1e-6, atol=1e-8 * largest, msg=key)
