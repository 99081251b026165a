"""Time of the ops at the sizes that TinyDet gives them, kernel and reference side by side."""

import pytest
import torch
from torchvision.ops import ps_roi_align

from harness.ops import psroi_align, psroi_align_multilevel
from harness.ops.boxes import assign_levels, make_rois
from harness.ops.nms import nms_padded_reference
from harness.ops.psroi_reference import psroi_align_reference
from harness.ops.soft_nms import soft_nms_padded_reference

PSROI = pytest.mark.parametrize(
    "forward", [torch.ops.harness.psroi_align, psroi_align_reference], ids=["op", "reference"]
)


def random_rois(count: int, batch: int, side: float) -> torch.Tensor:
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
    features, rois = torch.randn(1, 245, 40, 40), random_rois(200, 1, 320)
    benchmark(forward, features, rois, 1 / 8, 7, 7, 5, 2, "max")


@PSROI
def test_psroi_align_training_step(benchmark, forward):
    """512 samples for each of 8 images, forward and backward."""
    features, rois = torch.randn(8, 245, 40, 40, requires_grad=True), random_rois(4096, 8, 320)

    def step():
        forward(features, rois, 1 / 8, 7, 7, 5, 2, "max")[0].sum().backward()

    benchmark(step)


STRIDES, FINEST = (4, 8, 16), 22.4  # TinyDet-M


def make_maps(batch: int) -> list[torch.Tensor]:
    return [torch.randn(batch, 245, 320 // s, 320 // s) for s in STRIDES]


def random_proposals(batch: int, count: int) -> torch.Tensor:
    """Boxes of 4 to 104 pixels, most of them small."""
    generator = torch.Generator().manual_seed(0)
    low = torch.rand((batch, count, 2), generator=generator) * 256
    sides = torch.rand((batch, count, 2), generator=generator).square() * 100 + 4
    return torch.cat([low, low + sides], -1)


def pool_at_once(maps: list[torch.Tensor], boxes: torch.Tensor, reduce: str) -> list[torch.Tensor]:
    return [psroi_align_multilevel(maps, boxes, STRIDES, FINEST, 7, 5, 2, reduce, True)]


def pool_map_by_map(
    maps: list[torch.Tensor], boxes: torch.Tensor, reduce: str
) -> list[torch.Tensor]:
    """What the multilevel op replaces: boxes sorted by map, a call a map, parts put back."""
    rois, levels = make_rois(boxes, True), assign_levels(boxes, FINEST, len(maps)).flatten()
    order = levels.argsort(stable=True)
    counts = torch.bincount(levels, minlength=len(maps)).tolist()
    pooled = [
        psroi_align(x, own, 1 / stride, 7, 5, 2, reduce)
        for x, own, stride in zip(maps, rois[order].split(counts), STRIDES, strict=True)
    ]
    place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
    return [torch.cat(pooled).index_select(0, place)]


def pool_with_torchvision(
    maps: list[torch.Tensor], boxes: torch.Tensor, reduce: str
) -> list[torch.Tensor]:
    """The mean, and the parts left as they are: less than what the others do."""
    rois, levels = make_rois(boxes, True), assign_levels(boxes, FINEST, len(maps)).flatten()
    return [
        ps_roi_align(x, rois[levels == level], 7, 1 / stride, 2)
        for level, (x, stride) in enumerate(zip(maps, STRIDES, strict=True))
    ]


PYRAMID = pytest.mark.parametrize(
    ("pool", "reduce"),
    [
        pytest.param(pool_at_once, "max", id="multilevel-max"),
        pytest.param(pool_at_once, "mean", id="multilevel-mean"),
        pytest.param(pool_map_by_map, "max", id="map-by-map-max"),
        pytest.param(pool_with_torchvision, "mean", id="torchvision-mean"),
    ],
)
LAYOUTS = pytest.mark.parametrize(
    "layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels-last"]
)


@PYRAMID
@LAYOUTS
def test_psroi_align_of_a_pyramid(benchmark, pool, reduce, layout):
    """200 proposals of one image over three maps."""
    maps = [x.to(memory_format=layout) for x in make_maps(1)]
    benchmark(pool, maps, random_proposals(1, 200), reduce)


@PYRAMID
@LAYOUTS
def test_psroi_align_of_a_pyramid_in_training(benchmark, pool, reduce, layout):
    """512 samples for each of 8 images, forward and backward."""
    maps = [x.to(memory_format=layout).requires_grad_() for x in make_maps(8)]
    boxes = random_proposals(8, 512)

    def step():
        torch.autograd.grad([x.sum() for x in pool(maps, boxes, reduce)], maps)

    benchmark(step)


@pytest.mark.parametrize(
    "nms", [torch.ops.harness.nms_padded, nms_padded_reference], ids=["op", "reference"]
)
@pytest.mark.parametrize("limit", [200, 1000])
def test_nms_of_five_levels(benchmark, nms, limit):
    boxes = make_boxes(5, 1000)
    benchmark(nms, boxes, torch.ones(5, 1000, dtype=torch.bool), 0.7, limit)


@pytest.mark.parametrize("alive", [0.01, 1.0])
@pytest.mark.parametrize(
    "soft_nms",
    [torch.ops.harness.soft_nms_padded, soft_nms_padded_reference],
    ids=["op", "reference"],
)
def test_soft_nms_of_eighty_classes(benchmark, soft_nms, alive):
    boxes, scores = make_boxes(80, 200), torch.rand(80, 200)
    scores = torch.where(torch.rand(80, 200) < alive, scores, 0.0)
    benchmark(soft_nms, boxes, scores[:, None], None, 0.0, 0.5, 0.001, "linear", 0.5)
