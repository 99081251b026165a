"""SNet, ThunderNet's backbone: ShuffleNetV2 with 5x5 depthwise convolutions.

Paper: Qin et al., "ThunderNet: Towards Real-time Generic Object Detection",
https://arxiv.org/abs/1903.11752, section 3.1; after ShuffleNetV2, https://arxiv.org/abs/1807.11164.
What the paper leaves open, and the names of modules, are those of the authors' program
(https://github.com/qinzheng93/ThunderNet at 7383b5b), which has SNet146.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.model.channels import channels_last_on_cpu
from harness.model.features import FeatureSpec

STEM = 24
UNITS = (4, 8, 4)
KERNEL = 5


@dataclass(frozen=True)
class Variant:
    """Channels of the three stages, and of a 1x1 convolution after them."""

    stages: tuple[int, int, int]
    last: int | None = None


VARIANTS = {
    49: Variant((60, 120, 240), 512),
    146: Variant((132, 264, 528)),
    535: Variant((248, 496, 992)),
}


class Unit(nn.Module):
    """One unit of ShuffleNetV2 (its figure 3c and 3d).

    The halves that it starts from are every other channel, which is ShuffleNetV2's shuffle of the
    unit before. With `stride` 2 both branches see the whole input, and the left one keeps its
    channels.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.downsamples, width = stride == 2, out_channels // 2
        kept = in_channels if self.downsamples else width
        if self.downsamples:
            self.branch_left = nn.Sequential(
                depthwise(in_channels, stride),
                nn.BatchNorm2d(in_channels),
                *pointwise(in_channels, kept),
            )
        self.branch = nn.Sequential(
            *pointwise(in_channels if self.downsamples else width, width),
            depthwise(width, stride),
            nn.BatchNorm2d(width),
            *pointwise(width, out_channels - kept),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.downsamples:
            return torch.cat([self.branch_left(x), self.branch(x)], 1)
        kept, changed = torch.unflatten(x, 1, (-1, 2)).unbind(2)
        return torch.cat([kept, self.branch(changed)], 1)


class SNet(nn.Module):
    """Stem, pool and three stages, of which the maps of stride 16 and 32 are returned.

    Args:
        variant: 49, 146 or 535.
    """

    def __init__(self, variant: int = 146) -> None:
        super().__init__()
        chosen = VARIANTS[variant]
        stem = nn.Conv2d(3, STEM, 3, 2, 1, bias=False)
        self.first_conv = nn.Sequential(stem, nn.BatchNorm2d(STEM), nn.ReLU(inplace=True))
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.stage = nn.Sequential()
        channels = STEM
        for units, out in zip(UNITS, chosen.stages, strict=True):
            others = (Unit(out, out, 1) for _ in range(units - 1))
            self.stage.append(nn.Sequential(Unit(channels, out, 2), *others))
            channels = out
        c5 = chosen.last or channels
        self.conv_last = nn.Sequential(*(pointwise(channels, c5) if chosen.last else ()))
        self.out_features = (
            FeatureSpec("c4", chosen.stages[1], 16),
            FeatureSpec("c5", c5, 32),
        )
        self.apply(_init_weights)
        nn.init.normal_(stem.weight, std=0.01)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalised -> C4 and C5."""
        c3 = self.stage[0](self.maxpool(self.first_conv(channels_last_on_cpu(pixels))))
        c4 = self.stage[1](c3)
        return [c4, self.conv_last(self.stage[2](c4))]


def depthwise(channels: int, stride: int) -> nn.Conv2d:
    padding = KERNEL // 2
    return nn.Conv2d(channels, channels, KERNEL, stride, padding, groups=channels, bias=False)


def pointwise(in_channels: int, out_channels: int) -> tuple[nn.Module, ...]:
    """1x1 convolution, batch norm, ReLU."""
    conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
    return conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)


def _init_weights(module: nn.Module) -> None:
    """The authors' program's, for training on ImageNet."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, std=1 / module.weight.shape[1])
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.constant_(module.bias, 1e-4)
