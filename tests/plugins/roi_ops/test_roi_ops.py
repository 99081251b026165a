"""RoI ops over a pyramid against the plain ops on one map at a time."""

import math
from collections.abc import Callable

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor
from torchvision.ops import roi_align as torchvision_roi_align

from harness.errors import UserError
from harness.model.features import FeatureSpec, RoiSpec
from harness.ops import psroi_align
from harness.ops.boxes import assign_levels, make_rois
from harness_plugins import roi_ops
from harness_plugins.roi_ops.pooling import psroi_align_max, psroi_align_mean, roi_align

STRIDES = (4, 8, 16, 32)
FEATURES = tuple(FeatureSpec(f"p{s}", 245, s) for s in STRIDES)


def maps(batch: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(batch, 245, 64 // s, 64 // s, generator=generator) for s in STRIDES]


def boxes(batch: int, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    low = torch.rand(batch, count, 2, generator=generator) * 40
    sides = torch.rand(batch, count, 2, generator=generator) ** 2 * 60 + 1
    return torch.cat([low, low + sides], -1)


def test_a_box_goes_to_one_map() -> None:
    rows = torch.tensor([[0.0, 0, s, s] for s in (1, 20, 22.3, 22.5, 44.9, 89, 90, 900)])
    assert assign_levels(rows, 22.4, 3).tolist() == [0, 0, 0, 0, 1, 1, 2, 2]
    without_area = torch.tensor([[0.0, 0, 0, 0], [5, 5, 5, 9], [9, 9, 2, 2]])
    assert assign_levels(without_area, 22.4, 3).tolist() == [-1, -1, -1]


@given(st.floats(0.5, 400), st.floats(0.5, 400))
@settings(max_examples=50, deadline=None)
def test_levels_follow_the_rule(width: float, height: float) -> None:
    exact = math.log2(math.sqrt(width * height) / 30 + 1e-6)
    found = assign_levels(torch.tensor([0, 0, width, height], dtype=torch.float64), 30, 3).item()
    assert found == min(2, max(0, math.floor(exact)))


@pytest.mark.parametrize(
    ("factory", "reduce"), [(psroi_align_max, "max"), (psroi_align_mean, "mean")]
)
@pytest.mark.parametrize("inclusive", [True, False])
def test_psroi_align_pools_each_box_from_its_map(
    factory: Callable[..., torch.nn.Module], reduce: str, inclusive: bool
) -> None:
    op = factory(FEATURES, strides=(8, 16), finest_scale=20, inclusive=inclusive)
    assert op.out_feature == RoiSpec(5, 7, 7)
    features, regions = maps(2), boxes(2, 30)
    pooled = op(features, regions).view(2, 30, 5, 7, 7)
    levels = assign_levels(regions, 20, 2)
    assert set(levels.flatten().tolist()) == {0, 1}
    for b in range(2):
        for i, (x1, y1, x2, y2) in enumerate(regions[b].tolist()):
            level = int(levels[b, i])
            roi = torch.tensor([[b, x1, y1, x2 - inclusive, y2 - inclusive]])
            wanted = psroi_align(features[1 + level], roi, 1 / (8, 16)[level], 7, 5, 2, reduce)
            torch.testing.assert_close(pooled[b, i], wanted[0])


def test_roi_align_is_torchvisions() -> None:
    op = roi_align(FEATURES, strides=(8, 16), finest_scale=20)
    assert op.out_feature == RoiSpec(245, 7, 7)
    features, regions = maps(2), boxes(2, 12)
    pooled = op(features, regions)
    levels = assign_levels(regions, 20, 2).flatten()
    images = torch.arange(2.0).repeat_interleave(12)[:, None]
    rois = torch.cat([images, regions.flatten(0, 1)], 1)
    for level, stride in enumerate((8, 16)):
        wanted = torchvision_roi_align(features[1 + level], rois, 7, 1 / stride, 2, True)
        torch.testing.assert_close(pooled[levels == level], wanted[levels == level])


@pytest.mark.parametrize("factory", [psroi_align_max, psroi_align_mean, roi_align])
def test_pooling_is_independent_of_the_batch_and_differentiable(
    factory: Callable[..., torch.nn.Module],
) -> None:
    op = factory(FEATURES, strides=(4, 8, 16), finest_scale=12)
    features, regions = [m.requires_grad_() for m in maps(3)], boxes(3, 8)
    together = op(features, regions)
    alone = torch.cat([op([m[i : i + 1] for m in features], regions[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone)
    together.square().sum().backward()
    assert all(m.grad.any() for m in features[:3])
    assert features[3].grad is None


def test_masked_and_counted_pooling_agree() -> None:
    op = roi_align(FEATURES, strides=(4, 8, 16), finest_scale=12)
    used = [m.requires_grad_() for m in maps(2)[:3]]
    regions = boxes(2, 8)
    regions[1, 3] = 0
    rois, levels = make_rois(regions, True), assign_levels(regions, 12, 3).flatten()
    results = []
    for share in (op._pool_masked, op._pool_counted):
        pooled = share(used, rois, levels)
        results.append([pooled, *torch.autograd.grad(pooled.square().sum(), used)])
    for masked, counted in zip(*results, strict=True):
        torch.testing.assert_close(masked, counted)
    assert not results[0][0][11].any()


@pytest.mark.parametrize("factory", [psroi_align_max, psroi_align_mean])
def test_a_psroi_pooler_compiles_whole(factory: Callable[..., torch.nn.Module]) -> None:
    op = factory(FEATURES, strides=(4, 8, 16), finest_scale=12)
    compiled = torch.compile(op, backend="aot_eager", fullgraph=True)
    for batch in (1, 3):
        features, regions = [m.requires_grad_() for m in maps(batch)], boxes(batch, 8)
        found, wanted = compiled(features, regions), op(features, regions)
        assert torch.equal(found, wanted)
        pair = [torch.autograd.grad(x.square().sum(), features[:3]) for x in (found, wanted)]
        assert all(torch.equal(a, b) for a, b in zip(*pair, strict=True))
        assert any(gradient.any() for gradient in pair[1])


def test_padding_and_empty_lists_pool_to_something_finite() -> None:
    op = psroi_align_max(FEATURES, strides=(8, 16), finest_scale=20)
    assert op(maps(2), torch.zeros(2, 3, 4)).isfinite().all()
    assert op(maps(2), torch.zeros(2, 0, 4)).shape == (0, 5, 7, 7)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            lambda: psroi_align_max(FEATURES[:2], strides=(8, 16), finest_scale=20),
            ["psroi_align_max", "stride 16", "p4 245ch/4, p8 245ch/8"],
        ),
        (
            lambda: psroi_align_mean([FeatureSpec("p3", 256, 8)], strides=(8,), finest_scale=20),
            ["psroi_align_mean", "p3 256ch/8", "5x7x7", "245 channels"],
        ),
        (
            lambda: roi_align(
                [FeatureSpec("a", 64, 4), FeatureSpec("b", 32, 8)], strides=(4, 8), finest_scale=9
            ),
            ["roi_align", "b 32ch/8", "same number"],
        ),
        (
            lambda: roi_align(FEATURES, strides=(4, 16), finest_scale=9),
            ["roi_align", "4, 16", "twice"],
        ),
    ],
)
def test_maps_that_do_not_fit(build: Callable[[], object], words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        build()
    for word in words:
        assert word in str(error.value)


def test_declared_factories_exist() -> None:
    declared = roi_ops.harness_roi_ops()
    assert [d.name for d in declared] == ["psroi_align_max", "psroi_align_mean", "roi_align"]
    for declaration in declared:
        assert callable(declaration.load())
        declaration.params(strides=(8, 16), finest_scale=30)
