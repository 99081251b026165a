"""PicoDet's parts: shapes, parameters and multiply-adds, beside the published ones."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from picodet_building import SIZES, build
from pydantic import ValidationError
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

from harness.errors import UserError
from harness.model.features import FeatureSpec
from harness.stages.inputs import CostInput
from harness_plugins.meters.macs_paper import MacsPaper, convolution_macs
from harness_plugins.meters.parameters import Parameters
from harness_plugins.picodet.csp_pan import CspPan
from harness_plugins.picodet.esnet import EsNet, ShuffleUnit
from harness_plugins.picodet.params import EsNetParams

GREY = CostInput(torch.full((3, 480, 640), 127, dtype=torch.uint8))
# convolutions, then biases: of squeeze and excitation, and of the last convolutions
MACS = {
    320: {"backbone": 162913928 + 1615, "neck": 115833600, "head": 72216000 + 238000},
    416: {"backbone": 275270216 + 1615, "neck": 195915600, "head": 122274432 + 402976},
}
PARAMETERS = {"": 992715, "backbone": 603659, "neck": 249600, "head": 139456}


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 64), (96, 160), (416, 416)])
def test_parts_give_the_maps_that_they_declare(size: tuple[int, int]) -> None:
    backbone = EsNet(**EsNetParams().model_dump()).eval()
    neck = CspPan(backbone.out_features).eval()
    maps = backbone(torch.zeros(1, 3, *size))
    for part, found in ((backbone, maps), (neck, neck(maps))):
        wanted = [(f.channels, *(-(-side // f.stride) for side in size)) for f in part.out_features]
        assert [tuple(x.shape[1:]) for x in found] == wanted
    assert [(f.channels, f.stride) for f in backbone.out_features] == [
        (96, 8), (192, 16), (384, 32),
    ]  # fmt: skip
    assert [(f.channels, f.stride) for f in neck.out_features] == [
        (96, 8), (96, 16), (96, 32), (96, 64),
    ]  # fmt: skip


@torch.no_grad()
def test_stages_have_3_7_and_3_units() -> None:
    backbone = EsNet(**EsNetParams().model_dump()).eval()
    assert [len(stage) for stage in backbone.stages] == [3, 7, 3]
    found = backbone.stem(torch.zeros(1, 3, 64, 64))
    assert tuple(found.shape[1:]) == (24, 16, 16)


@torch.no_grad()
def test_a_unit_keeps_half_of_its_channels_between_those_it_makes() -> None:
    unit, x = ShuffleUnit(16, 24).eval(), torch.randn(2, 16, 5, 5)
    out = unit(x)
    assert torch.equal(out[:, ::2], x[:, :8])
    primary = unit.primary(x[:, 8:])
    both = torch.cat([primary, unit.cheap(primary)], 1)
    assert both.shape[1] == 24
    torch.testing.assert_close(out[:, 1::2], unit.last(unit.excitation(both)))


@torch.no_grad()
def test_excitation_scales_by_a_hard_sigmoid_of_the_mean() -> None:
    """A scale of a half, of nothing and of all, by hand."""
    unit, x = ShuffleUnit(6, 24).eval(), torch.rand(1, 24, 3, 3)
    gate: SqueezeExcitation = unit.excitation  # type: ignore[assignment]
    gate.fc2.weight.zero_()
    gate.fc2.bias.copy_(torch.tensor([0.0, -3, 3]).repeat(8))
    factors = torch.tensor([0.5, 0, 1]).repeat(8).view(1, -1, 1, 1)
    torch.testing.assert_close(gate(x), x * factors)
    assert gate.fc1.out_channels == 6
    assert isinstance(gate.activation, nn.ReLU)


@torch.no_grad()
def test_the_extra_level_is_of_the_coarsest_map_and_of_the_coarsest_result() -> None:
    backbone = EsNet(**EsNetParams().model_dump()).eval()
    neck = CspPan(backbone.out_features).eval()
    maps = backbone(torch.randn(1, 3, 96, 96))
    found = neck(maps)
    first = neck.extra_lvl_in_conv[0](neck.reduce_layers[-1](maps[-1]))
    torch.testing.assert_close(found[3], first + neck.extra_lvl_out_conv[0](found[2]))


def test_activations_are_hard_swish_and_kernels_of_neck_and_head_5x5() -> None:
    detector = build(64, 3)
    kinds = (nn.ReLU, nn.LeakyReLU, nn.SiLU, nn.ReLU6)
    activations = {
        name for name, m in detector.named_modules()
        if isinstance(m, kinds) and ".excitation." not in name and ".branch2.2." not in name
    }  # fmt: skip
    assert activations == set()
    for part, kernel in ((detector.backbone, 3), (detector.neck, 5), (detector.head, 5)):
        grouped = [m for m in part.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
        assert {m.kernel_size for m in grouped} == {(kernel, kernel)}


def test_hidden_channels_of_every_unit_are_asked_for() -> None:
    with pytest.raises(ValidationError, match="should be 13 numbers, 3, 7, 3 of a stage"):
        EsNetParams(hidden=(48, 48))


def test_maps_that_are_no_pyramid_are_refused() -> None:
    with pytest.raises(UserError, match="csp_pan is given c3 8ch/8, c5 8ch/32"):
        CspPan([FeatureSpec("c3", 8, 8), FeatureSpec("c5", 8, 32)])


def test_parameters_by_part() -> None:
    counted = {m.scope.removeprefix("role/"): m.count for m in Parameters()(build(320), GREY)}
    assert counted == PARAMETERS


@pytest.mark.parametrize("size", SIZES)
def test_published_parameters(size: str) -> None:
    found = sum(p.numel() for p in build(64, size=size).parameters()) / 1e6
    # that of L is 3.305, of which 3.30 is printed
    assert found == pytest.approx(SIZES[size].parameters, abs=0.0051)


@torch.no_grad()
@pytest.mark.parametrize("side", MACS)
def test_multiply_adds_by_part(side: int) -> None:
    measured = MacsPaper()(build(side).eval(), GREY)
    counted = {m.scope.removeprefix("role/"): m.count for m in measured}
    assert counted == {"": sum(MACS[side].values()), **MACS[side]}
    assert not any(m.warnings for m in measured)


@contextmanager
def counted_operations(detector: nn.Module) -> Iterator[list[int]]:
    """Multiply-adds, and of each value that a norm gives two, an activation one, a scaling two."""
    found: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            found.append(convolution_macs(module, inputs, output))
        else:
            found.append(output.numel() * (1 if isinstance(module, nn.Hardswish) else 2))

    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Hardswish, SqueezeExcitation)
    hooks = [m.register_forward_hook(count) for m in detector.modules() if isinstance(m, kinds)]
    yield found
    for hook in hooks:
        hook.remove()


@torch.no_grad()
@pytest.mark.parametrize(
    ("size", "side"), [(size, side) for size, model in SIZES.items() for side in model.operations]
)
def test_published_operations(size: str, side: int) -> None:
    """They are more than twice the multiply-adds of convolutions; by this rule all are met."""
    detector = build(side, size=size).eval()
    with counted_operations(detector) as found:
        detector.network(detector.preprocess([GREY.image]))
    rounding = 0.008 if (size, side) == ("l", 416) else 0.005
    assert 2 * sum(found) / 1e9 == pytest.approx(SIZES[size].operations[side], abs=rounding)
