"""TinyDet's separable convolutions: as products on a GPU, fused for inference."""

import pytest
import torch
from torch import Tensor, nn

from harness.model.features import FeatureSpec
from harness_plugins.tinydet.fpn import TinyFpn
from harness_plugins.tinydet.rpn import tiny_rpn
from harness_plugins.tinydet.separable import SeparableConv

SPECS = (FeatureSpec("c3", 12, 8), FeatureSpec("c4", 20, 16), FeatureSpec("c5", 20, 32))
SIZE = (64, 96)


def draw_maps(specs: tuple[FeatureSpec, ...], batch: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(
            batch, s.channels, SIZE[0] // s.stride, SIZE[1] // s.stride, generator=generator
        )
        for s in specs
    ]


@pytest.mark.parametrize("groups", [1, 2, 5, 10])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("given_wide", [False, True])
def test_products_have_the_convolutions_results_and_gradients(groups, layout, given_wide):
    torch.manual_seed(0)
    layer = SeparableConv(20, groups).double()
    x = torch.randn(3, 20, 5, 7, dtype=torch.float64).to(memory_format=layout)
    weight = torch.randn_like(x)
    results = []
    for compute in (layer.product, layer):
        given = x.clone().requires_grad_()
        wide = compute == layer.product and given_wide
        result = compute(nn.functional.pad(given, (0, 0, 0, 0, 0, 4)) if wide else given)
        gradients = torch.autograd.grad((result * weight).sum(), [given, *layer.parameters()])
        results.append([result, *gradients])
    torch.testing.assert_close(*results)


def test_training_and_inference_under_autocast_have_one_dtype():
    layer, x = SeparableConv(20, 5), torch.randn(2, 20, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        trained = layer.product(x)
        with torch.no_grad():
            assert layer(x).dtype == trained.dtype == torch.bfloat16


@torch.no_grad()
def test_a_fused_neck_takes_the_maps_that_autocast_makes(parts):
    neck, maps = parts[0], draw_maps(SPECS)
    neck.fuse_for_inference()
    with torch.autocast("cpu", torch.bfloat16):
        found = neck(maps)
    assert {x.dtype for x in found} == {torch.bfloat16}
    for ours, exact in zip(found, neck(maps), strict=True):
        assert (ours - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.fixture(params=[10, 245], ids="{} channels".format)
def parts(request):
    torch.manual_seed(0)
    neck = TinyFpn(SPECS, channels=request.param, groups=[5, 1, 1]).eval()
    rpn = tiny_rpn(neck.out_features, image_size=SIZE, groups=5, anchor_scale=2.0).eval()
    for conv in (m for m in [*neck.modules(), *rpn.modules()] if isinstance(m, nn.Conv2d)):
        nn.init.normal_(conv.weight, std=0.2)  # weights as small as at the start would hide much
        nn.init.normal_(conv.bias, std=0.2)
    return neck, rpn


@torch.no_grad()
def test_a_fused_neck_gives_the_same_maps(parts):
    neck, maps = parts[0], draw_maps(SPECS)
    wanted = neck(maps)
    neck.fuse_for_inference()
    found = neck(maps)
    assert [x.shape for x in found] == [x.shape for x in wanted]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_fused_rpn_gives_the_same_outputs_and_proposals(parts):
    neck, rpn = parts
    maps = neck(draw_maps(SPECS))
    before = rpn(maps)
    proposals = rpn.propose(before)
    rpn.fuse_for_inference()
    after = rpn(maps)
    torch.testing.assert_close(after.logits, before.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(after.deltas, before.deltas, rtol=1e-4, atol=1e-4)
    found = rpn.propose(after)
    assert torch.equal(found.counts, proposals.counts)
    torch.testing.assert_close(found.boxes, proposals.boxes, rtol=1e-3, atol=1e-2)


def test_rows_are_wide_enough_for_16_bit_kernels(parts):
    neck, rpn = parts
    for part in parts:
        part.fuse_for_inference()
    assert all(lateral.conv.out_channels % 8 == 0 for lateral in neck.lateral_convs)
    assert rpn.fused_outputs.in_features % 8 == rpn.fused_outputs.out_features % 8 == 0
