import pytest
import torch
from bifpn import harness_necks
from bifpn.network import BiFpn, Fusion

from harness.errors import UserError
from harness.model.features import FeatureSpec
from harness.plugin.testing import check_neck, pyramid


@pytest.mark.parametrize("layers", [1, 3])
def test_bifpn_keeps_the_contract_of_a_neck(layers):
    check_neck(*harness_necks(), {"channels": 8, "layers": layers})


def test_two_levels_are_enough():
    maps = pyramid(16, 24)
    check_neck(*harness_necks(), {"channels": 8, "layers": 2}, in_features=maps)


def test_fusion_is_a_mean_by_weights_that_are_not_negative():
    fusion = Fusion(3, channels=1)
    fusion.weights.data = torch.tensor([1.0, 3.0, -2.0])
    maps = [torch.full((1, 1, 2, 2), value) for value in (0.0, 4.0, 100.0)]
    assert fusion.fuse(maps).mean().item() == pytest.approx(3.0, rel=1e-4)


def test_every_level_hears_of_every_other():
    neck = BiFpn(pyramid(4, 4, 4), channels=4, layers=1).eval()
    maps = [torch.randn(1, 4, side, side, requires_grad=True) for side in (32, 16, 8)]
    for made in neck(maps):
        for given in torch.autograd.grad(made.sum(), maps, retain_graph=True):
            assert given.abs().sum() > 0


def test_maps_that_are_no_pyramid_are_refused():
    with pytest.raises(UserError, match="bifpn is given"):
        BiFpn([FeatureSpec("c3", 8, 8), FeatureSpec("c5", 8, 32)], channels=8, layers=1)
