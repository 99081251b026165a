"""Time of the ops at the sizes that TinyDet gives them, kernel and reference side by side."""

import pytest
import torch

from harness.ops.nms import nms_padded_reference
from harness.ops.psroi_reference import psroi_align_reference
from harness.ops.soft_nms import soft_nms_padded_reference

PSROI = pytest.mark.parametrize(
    "forward", [torch.ops.harness.psroi_align, psroi_align_reference], ids=["op", "reference"]
)


def make_rois(count: int, batch: int, side: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand((count, 4), generator=generator) * side / 2
    corners[:, 2:] += corners[:, :2]
    return torch.cat([torch.randint(batch, (count, 1), generator=generator).float(), corners], 1)


def make_boxes(groups: int, size: int) -> torch.Tensor:
    boxes = torch.rand((groups, size, 4), generator=torch.Generator().manual_seed(0)) * 150
    boxes[..., 2:] += boxes[..., :2]
    return boxes


@PSROI
def test_psroi_align_of_one_image(benchmark, forward):
    """200 proposals, batch 1, stride 8."""
    features, rois = torch.randn(1, 245, 40, 40), make_rois(200, 1, 320)
    benchmark(forward, features, rois, 1 / 8, 7, 7, 5, 2, "max")


@PSROI
def test_psroi_align_training_step(benchmark, forward):
    """512 samples for each of 8 images, forward and backward."""
    features, rois = torch.randn(8, 245, 40, 40, requires_grad=True), make_rois(4096, 8, 320)

    def step():
        forward(features, rois, 1 / 8, 7, 7, 5, 2, "max")[0].sum().backward()

    benchmark(step)


@pytest.mark.parametrize(
    "nms", [torch.ops.harness.nms_padded, nms_padded_reference], ids=["op", "reference"]
)
def test_nms_of_five_levels(benchmark, nms):
    boxes = make_boxes(5, 1000)
    benchmark(nms, boxes, torch.ones(5, 1000, dtype=torch.bool), 0.7)


@pytest.mark.parametrize("alive", [0.01, 1.0])
@pytest.mark.parametrize(
    "soft_nms",
    [torch.ops.harness.soft_nms_padded, soft_nms_padded_reference],
    ids=["op", "reference"],
)
def test_soft_nms_of_eighty_classes(benchmark, soft_nms, alive):
    boxes, scores = make_boxes(80, 200), torch.rand(80, 200)
    scores = torch.where(torch.rand(80, 200) < alive, scores, 0.0)
    benchmark(soft_nms, boxes, scores, 0.5, 0.001, "linear", 0.5)
