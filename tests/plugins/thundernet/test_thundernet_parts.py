"""ThunderNet's parts: shapes, multiply-adds, anchors, attention, and the kit's examination."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import harness
from harness.errors import UserError
from harness.model.features import FeatureSpec
from harness.model.two_stage import roi_maps
from harness.plugin.declarations import NoParams, Rpn
from harness.plugin.testing import NonconformingError, check_rpn
from harness.stages.inputs import CostInput
from harness_plugins.meters.macs_paper import MacsPaper
from harness_plugins.meters.parameters import Parameters
from harness_plugins.thundernet.cem import ThunderCem
from harness_plugins.thundernet.rpn import ThunderRpn, ThunderRpnOutputs, thunder_rpn
from harness_plugins.thundernet.snet import SNet, Unit

BUDGET = Path(__file__).parents[3] / "suites" / "budget.yaml"
GREY = CostInput(torch.full((3, 480, 640), 127, dtype=torch.uint8))
MAP = (FeatureSpec("p4", 245, 16),)
# channels of the three stages and of C5
CHANNELS = {49: (60, 120, 240, 512), 146: (132, 264, 528, 528), 535: (248, 496, 992, 992)}
HEAD = 200 * (245 * 1024 + 1024 * 81 + 1024 * 4)
# depthwise, 1x1, attention, 25 scores and 100 deltas with their biases
RPN = 400 * (25 * 245 + 245 * 256 + 256 * 245 + 256 * 125 + 125)
TOTALS = {49: 261_126_585, 146: 502_717_705, 535: 1_271_516_985}
PARAMETERS = {49: 1_147_810, 146: 1_873_858, 535: 4_657_394}


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 96), (320, 320)])
@pytest.mark.parametrize("variant", [49, 146, 535])
def test_every_stage_has_the_papers_channels_and_strides(
    variant: int, size: tuple[int, int]
) -> None:
    backbone, seen = SNet(variant).eval(), []
    for stage in (backbone.first_conv, backbone.maxpool, *backbone.stage, backbone.conv_last):
        stage.register_forward_hook(lambda *given: seen.append(tuple(given[2].shape[1:])))
    maps = backbone(torch.zeros(1, 3, *size))
    channels = (24, 24, *CHANNELS[variant])
    strides = (2, 4, 8, 16, 32, 32)
    assert seen == [(c, size[0] // s, size[1] // s) for c, s in zip(channels, strides, strict=True)]
    assert [len(stage) for stage in backbone.stage] == [4, 8, 4]
    specs = [(f.channels, size[0] // f.stride, size[1] // f.stride) for f in backbone.out_features]
    assert specs == [tuple(x.shape[1:]) for x in maps] == [seen[3], seen[5]]
    neck = ThunderCem(backbone.out_features)
    (found,) = neck(maps)
    assert found.shape[1:] == (245, size[0] // 16, size[1] // 16)
    assert neck.out_features == MAP


def test_all_depthwise_convolutions_are_5x5() -> None:
    grouped = [m for m in SNet(49).modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert len(grouped) == 16 + 3
    assert {m.kernel_size for m in grouped} == {(5, 5)}


@torch.no_grad()
def test_a_unit_keeps_every_other_channel_and_changes_the_rest() -> None:
    unit, x = Unit(8, 8, 1).eval(), torch.randn(2, 8, 5, 5)
    out = unit(x)
    assert torch.equal(out[:, :4], x[:, ::2])
    torch.testing.assert_close(out[:, 4:], unit.branch(x[:, 1::2].contiguous()))


@torch.no_grad()
def test_the_neck_sums_both_maps_and_the_mean_of_the_coarse_one() -> None:
    neck = ThunderCem([FeatureSpec("c4", 1, 16), FeatureSpec("c5", 1, 32)], channels=1)
    for conv, weight in ((neck.C4, 1.0), (neck.C5, 10.0), (neck.Cglb, 100.0)):
        nn.init.constant_(conv.weight, weight)
    fine = torch.arange(12.0).view(1, 1, 3, 4)
    coarse = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    (found,) = neck([fine, coarse])
    upsampled = torch.tensor([[1.0, 1, 2, 2], [1, 1, 2, 2], [3, 3, 6, 6]])
    assert torch.equal(found[0, 0], fine[0, 0] + 10 * upsampled + 100 * 3)


def test_a_backbone_without_stride_32_is_refused() -> None:
    with pytest.raises(UserError, match="thunder_cem needs a map of stride 32 but is given"):
        ThunderCem([FeatureSpec("c3", 8, 8), FeatureSpec("c4", 8, 16)])


def test_an_rpn_takes_one_map_and_a_size_that_fits() -> None:
    with pytest.raises(UserError, match="thunder_rpn is given p4 245ch/16, p5 245ch/32"):
        thunder_rpn([*MAP, FeatureSpec("p5", 245, 32)], image_size=(320, 320))
    with pytest.raises(UserError, match="multiples of 16: 320x320 or 320x336 would do"):
        thunder_rpn(MAP, image_size=(320, 330))


@torch.no_grad()
@pytest.mark.parametrize("variant", [49, 146, 535])
def test_multiply_adds_and_parameters(variant: int) -> None:
    name = "thundernet_snet49"
    sets = [f"detectors.{name}.backbone.params.variant={variant}"]
    detector = harness.build(BUDGET, name, classes=80, overrides=sets).eval()
    counted = {m.scope.removeprefix("role/"): m.count for m in MacsPaper()(detector, GREY)}
    _, c4, _, c5 = CHANNELS[variant]
    neck = 245 * (400 * (c4 + 1) + (100 + 1) * (c5 + 1))
    assert (counted["neck"], counted["rpn"], counted["head"]) == (neck, RPN, HEAD)
    assert counted[""] == TOTALS[variant]
    assert counted["backbone"] == TOTALS[variant] - neck - RPN - HEAD
    parameters = {m.scope: m.count for m in Parameters()(detector, GREY)}
    assert parameters[""] == PARAMETERS[variant]


def test_anchors_of_five_sizes_and_five_ratios() -> None:
    rpn = thunder_rpn(MAP, image_size=(64, 96))
    (level,) = rpn.anchor_levels((64, 96))
    boxes = level.boxes.view(4, 6, 25, 4)
    sides = boxes[..., 2:] - boxes[..., :2]
    ratios = torch.tensor([1 / 2, 3 / 4, 1, 4 / 3, 2]).repeat_interleave(5)
    squares = torch.tensor([32.0, 64, 128, 256, 512]).repeat(5)
    torch.testing.assert_close(sides[..., 1] / sides[..., 0], ratios.expand(4, 6, 25))
    torch.testing.assert_close(sides.prod(-1).sqrt(), squares.expand(4, 6, 25))
    centers = (boxes[..., :2] + boxes[..., 2:]) / 2
    assert centers[3, 5].allclose(torch.tensor([80.0, 48.0]), atol=1e-4)
    assert boxes[0, 0, 10].tolist() == [-16.0, -16, 16, 16]
    with pytest.raises(ValueError, match=r"images of \(64, 96\), not \(96, 64\)"):
        rpn.anchor_levels((96, 64))


def test_attention_multiplies_the_map_that_is_pooled() -> None:
    """An attention of a half, of nothing and of all, by hand."""
    rpn = thunder_rpn(MAP, image_size=(32, 32)).eval()
    conv, norm = rpn.sam_convs[0], rpn.sam_convs[1]
    with torch.no_grad():
        conv.weight.zero_()
        norm.bias.copy_(torch.tensor([0.0, -200, 200]).repeat(82)[:245])
        maps = [torch.randn(1, 245, 2, 2)]
        outputs = rpn(maps)
        (found,) = roi_maps(rpn, maps, outputs)
    factors = torch.tensor([0.5, 0, 1]).repeat(82)[:245].view(1, -1, 1, 1)
    torch.testing.assert_close(found, maps[0] * factors)


def test_attention_is_the_hidden_maps_and_learns_from_what_is_pooled() -> None:
    rpn = thunder_rpn(MAP, image_size=(32, 32)).eval()
    maps = [torch.randn(1, 245, 2, 2)]
    (found,) = roi_maps(rpn, maps, rpn(maps))
    conv, norm = rpn.sam_convs[0], rpn.sam_convs[1]
    gate = torch.sigmoid(norm(conv(rpn.rpn_conv(maps[0]))))
    torch.testing.assert_close(found, maps[0] * gate)
    found.sum().backward()
    for layer in (rpn.sam_convs[0], rpn.rpn_conv[0], rpn.rpn_conv[3]):
        assert layer.weight.grad.any()


def test_an_rpn_without_maps_of_its_own_leaves_the_necks() -> None:
    maps = [torch.randn(1, 2, 3, 3)]
    assert roi_maps(nn.Identity(), maps, None) is maps


class HalvedMaps(ThunderRpn):
    def roi_maps(self, features: list[Tensor], outputs: ThunderRpnOutputs) -> list[Tensor]:
        return [super().roi_maps(features, outputs)[0][:, ::2]]


def halved(in_features: object, *, image_size: tuple[int, int]) -> ThunderRpn:
    params = thunder_rpn(MAP, image_size=(32, 32)).params
    return HalvedMaps(in_features, image_size, params)  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_kit_finds_maps_of_another_shape() -> None:
    declaration = Rpn("halved", f"{__name__}:halved", NoParams, "s")
    with pytest.raises(NonconformingError) as caught:
        check_rpn(declaration, sizes=[(64, 64)])
    said = "roi_maps: level 0 (c4) says 245 channels, and gives 123"
    assert caught.value.problems == (said,)
