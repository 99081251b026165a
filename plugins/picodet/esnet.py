"""ESNet, PicoDet's backbone: ShuffleNetV2 with squeeze and excitation in every unit.

Paper: https://arxiv.org/abs/2111.00902, section 3.1; after ShuffleNetV2,
https://arxiv.org/abs/1807.11164. Which layers have activations, and how channels are squeezed, is
as in PaddleDetection (https://github.com/PaddlePaddle/PaddleDetection).
"""

from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

from harness.model.channels import channels_last_on_cpu, shuffle
from harness.model.features import FeatureSpec
from harness_plugins.picodet.blocks import conv
from harness_plugins.picodet.params import UNITS

STEM = 24
SQUEEZE = 4  # channels to one of the hidden layer of squeeze and excitation


class StridedUnit(nn.Module):
    """Halves the map; both branches see all of it, and a separable convolution mixes them."""

    def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        half, inner = out_channels // 2, hidden // 2
        self.branch1 = nn.Sequential(
            conv(in_channels, in_channels, 3, 2, groups=in_channels, activated=False),
            conv(in_channels, half),
        )
        self.branch2 = nn.Sequential(
            conv(in_channels, inner),
            conv(inner, inner, 3, 2, groups=inner, activated=False),
            excitation(inner),
            conv(inner, half),
        )
        self.mix = nn.Sequential(
            conv(out_channels, out_channels, 3, groups=out_channels),
            conv(out_channels, out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.mix(torch.cat([self.branch1(x), self.branch2(x)], 1))
        return out


class ShuffleUnit(nn.Module):
    """Changes half of the channels; half of the hidden ones come of the other half, as in a ghost
    module (https://arxiv.org/abs/1911.11907)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        half, inner = channels // 2, hidden // 2
        self.primary = conv(half, inner)
        self.cheap = conv(inner, inner, 3, groups=inner, activated=False)
        self.excitation = excitation(hidden)
        self.last = conv(hidden, half)

    def forward(self, x: Tensor) -> Tensor:
        kept, changed = x.chunk(2, 1)
        primary = self.primary(changed)
        hidden = torch.cat([primary, self.cheap(primary)], 1)
        return shuffle(kept, self.last(self.excitation(hidden)))


class EsNet(nn.Module):
    """Stem, pool, and three stages whose results are the maps of stride 8, 16 and 32.

    Args:
        channels, hidden: see `EsNetParams`.
    """

    def __init__(self, channels: Sequence[int], hidden: Sequence[int]) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, STEM, 3, 2), nn.MaxPool2d(3, 2, 1))
        self.stages = nn.ModuleList()
        given, within = STEM, iter(hidden)
        for out, units in zip(channels, UNITS, strict=True):
            first, *others = islice(within, units)
            self.stages.append(
                nn.Sequential(
                    StridedUnit(given, first, out), *(ShuffleUnit(out, inner) for inner in others)
                )
            )
            given = out
        self.out_features = tuple(
            FeatureSpec(f"c{level}", out, 2**level) for level, out in enumerate(channels, start=3)
        )
        self.apply(_init_weights)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalised -> one map per out feature."""
        x = self.stem(channels_last_on_cpu(pixels))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def excitation(channels: int) -> nn.Module:
    """Squeeze and excitation (https://arxiv.org/abs/1709.01507) with a hard sigmoid."""
    made: nn.Module = SqueezeExcitation(
        channels, channels // SQUEEZE, scale_activation=nn.Hardsigmoid
    )
    return made


def _init_weights(module: nn.Module) -> None:
    """The published program's, for training on ImageNet."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
