"""ShuffleNetV2 without its last 1x1 stage, as NanoDet-Plus uses it.

Ma et al., "ShuffleNet V2", https://arxiv.org/abs/1807.11164, section 3 and table 5. Names are
torchvision's, so that its ImageNet weights load (they were trained with ReLU; NanoDet-Plus goes on
with LeakyReLU).
"""

from torch import Tensor, nn

from harness.model.channels import channels_last_on_cpu, shuffle
from harness.model.features import FeatureSpec
from harness_plugins.nanodet.blocks import activation, depthwise, pointwise

STEM = 24
UNITS = (4, 8, 4)
CHANNELS = {
    0.5: (48, 96, 192),
    1.0: (116, 232, 464),
    1.5: (176, 352, 704),
    2.0: (244, 488, 976),
}


class Unit(nn.Module):
    """One unit (figure 3c and 3d); with `stride` 2 both branches see the whole input."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        width = out_channels // 2
        self.downsamples = stride == 2
        if self.downsamples:
            self.branch1 = nn.Sequential(
                depthwise(in_channels, 3, stride),
                nn.BatchNorm2d(in_channels),
                pointwise(in_channels, width),
                nn.BatchNorm2d(width),
                activation(),
            )
        self.branch2 = nn.Sequential(
            pointwise(in_channels if self.downsamples else width, width),
            nn.BatchNorm2d(width),
            activation(),
            depthwise(width, 3, stride),
            nn.BatchNorm2d(width),
            pointwise(width, width),
            nn.BatchNorm2d(width),
            activation(),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.downsamples:
            return shuffle(self.branch1(x), self.branch2(x))
        kept, changed = x.chunk(2, 1)
        return shuffle(kept, self.branch2(changed))


class ShuffleNetV2(nn.Module):
    """Stem, pool, and three stages whose results are the maps of stride 8, 16 and 32.

    Args:
        width: 0.5, 1.0, 1.5 or 2.0.
    """

    stage2: nn.Sequential
    stage3: nn.Sequential
    stage4: nn.Sequential

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, STEM, 3, 2, 1, bias=False), nn.BatchNorm2d(STEM), activation()
        )
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels, specs = STEM, []
        for level, (units, out) in enumerate(zip(UNITS, CHANNELS[width], strict=True), start=2):
            stage = [Unit(channels, out, 2), *(Unit(out, out, 1) for _ in range(units - 1))]
            self.add_module(f"stage{level}", nn.Sequential(*stage))
            specs.append(FeatureSpec(f"c{level + 1}", out, 2 ** (level + 1)))
            channels = out
        self.out_features = tuple(specs)
        self.apply(_init_weights)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalised -> one map per out feature."""
        x = self.maxpool(self.conv1(channels_last_on_cpu(pixels)))
        maps = []
        for stage in (self.stage2, self.stage3, self.stage4):
            x = stage(x)
            maps.append(x)
        return maps


def _init_weights(module: nn.Module) -> None:
    """The published program's, for what ImageNet weights do not replace."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, std=1 / module.weight.shape[1])
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.constant_(module.bias, 1e-4)
