"""Batch norms are folded where that changes nothing, and only there."""

import pytest
import torch
from mode_detectors import TIMM, build, draw_images
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torchvision.ops import FrozenBatchNorm2d

from harness.model.detector import Detector
from harness.modes.build import build_runner
from harness.modes.folding import fold_norms, is_norm


def settle(module: nn.Module) -> nn.Module:
    """Statistics and weights that a wrong fold would show."""
    generator = torch.Generator().manual_seed(0)
    for norm in (m for m in module.modules() if is_norm(m)):
        for tensor in (norm.running_mean, norm.weight, norm.bias):
            tensor.data.normal_(1.0, 0.5, generator=generator)
        norm.running_var.uniform_(0.5, 2.0, generator=generator)
    return module.eval()


def fold(module: nn.Module, pixels: Tensor) -> int:
    """Folds; what the module gives must stay."""
    with torch.no_grad():
        before = module(pixels)
        count = fold_norms(module, lambda: module(pixels))
        torch.testing.assert_close(module(pixels), before, rtol=1e-4, atol=1e-4)
    return count


@pytest.fixture
def pixels() -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("bias", [False, True])
def test_a_norm_behind_a_convolution_is_folded(pixels: Tensor, bias: bool) -> None:
    module = settle(nn.Sequential(nn.Conv2d(3, 4, 3, bias=bias), nn.BatchNorm2d(4), nn.ReLU()))
    assert fold(module, pixels) == 1
    assert not any(isinstance(m, nn.BatchNorm2d) for m in module.modules())


def test_groups_and_norms_without_weights(pixels: Tensor) -> None:
    layers = [nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6, affine=False)]
    module = nn.Sequential(*layers).eval()
    layers[1].running_mean.fill_(0.3)
    layers[1].running_var.fill_(2.0)
    assert fold(module, pixels) == 1


def test_the_frozen_norms_of_torchvision(pixels: Tensor) -> None:
    module = settle(nn.Sequential(nn.Conv2d(3, 4, 3), FrozenBatchNorm2d(4)))
    assert fold(module, pixels) == 1


def test_a_norm_keeps_the_activation_that_it_brings(pixels: Tensor) -> None:
    module = settle(nn.Sequential(nn.Conv2d(3, 4, 3), BatchNormAct2d(4, act_layer=nn.ReLU)))
    assert fold(module, pixels) == 1
    assert (module(pixels) >= 0).all()


class Tapped(nn.Module):
    """Its convolution is read before the norm, too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, pixels: Tensor) -> Tensor:
        raw = self.conv(pixels)
        return self.norm(raw) + raw


class Twice(Tapped):
    """One convolution under two norms."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.BatchNorm2d(3)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.other(self.conv(self.norm(self.conv(pixels))))


class Sized(Tapped):
    """Reads only the size of what lies between, which does not count as using it."""

    def forward(self, pixels: Tensor) -> Tensor:
        raw = self.conv(pixels)
        assert raw.dim() == 4
        assert raw.shape[1] == 3
        return self.norm(raw)


@pytest.mark.parametrize(("module", "count"), [(Tapped, 0), (Twice, 0), (Sized, 1)])
def test_a_tensor_that_others_read_is_left(
    pixels: Tensor, module: type[nn.Module], count: int
) -> None:
    assert fold(settle(module()), pixels) == count


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("tinydet_s", None),
        ("tinydet_m", None),
        ("tinydet_s", TIMM),
        ("ssdlite320", None),
        ("fasterrcnn320", None),
    ],
    ids=["tinydet_s", "tinydet_m", "timm", "ssdlite", "faster_rcnn"],
)
@torch.no_grad()
def test_every_norm_of_a_detector_is_folded(name: str, overrides: list[str] | None) -> None:
    detector = build(name, overrides)
    norms = sum(is_norm(m) for m in detector.modules())
    eager, fused = build_runner(detector, "eager"), build_runner(detector, "fused")
    assert fused.conditions["folded_norms"] == norms > 30
    assert not any(is_norm(m) for m in fused.detector.modules())
    pixels = eager.prepare(draw_images()).pixels
    wanted, found = (tree_leaves(backbone(r.detector)(pixels)) for r in (eager, fused))
    for x, y in zip(wanted, found, strict=True):
        assert (x - y).abs().max() < 1e-4 * x.abs().max()


def backbone(detector: Detector) -> nn.Module:
    return detector.get_submodule(detector.roles["backbone"][0])


@torch.no_grad()
def test_the_detector_itself_is_not_changed() -> None:
    detector = build("tinydet_s")
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    build_runner(detector, "fused")
    after = detector.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())
