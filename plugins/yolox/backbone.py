"""CSPDarknet as YOLOX has it (https://arxiv.org/abs/2107.08430, section 2)."""

from torch import Tensor, nn

from harness.model.features import FeatureSpec
from harness_plugins.yolox.blocks import CspLayer, Focus, PyramidPooling, conv3


class CspDarknet(nn.Module):
    """A stem and four stages; the last three are returned.

    Args:
        depth, width, depthwise: see `CspDarknetParams`.

    Attributes:
        out_features: maps of stride 8, 16 and 32.
    """

    checkpoint_name = "backbone.backbone"
    dark2: nn.Sequential
    dark3: nn.Sequential
    dark4: nn.Sequential
    dark5: nn.Sequential

    def __init__(self, depth: float, width: float, depthwise: bool) -> None:
        super().__init__()
        channels, blocks = int(64 * width), max(round(3 * depth), 1)
        self.stem = Focus(channels)
        for name, factor in (("dark2", 1), ("dark3", 3), ("dark4", 3), ("dark5", 1)):
            last = name == "dark5"
            stage = nn.Sequential(
                conv3(channels, 2 * channels, 2, depthwise),
                *([PyramidPooling(2 * channels)] if last else []),
                CspLayer(2 * channels, 2 * channels, factor * blocks, not last, depthwise),
            )
            self.add_module(name, stage)
            channels *= 2
        self.out_features = tuple(
            FeatureSpec(f"c{level}", channels >> (5 - level), 2**level) for level in (3, 4, 5)
        )

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """(B, 3, H, W) BGR in 0 to 255 -> three maps."""
        fine = self.dark3(self.dark2(self.stem(pixels)))
        middle = self.dark4(fine)
        return [fine, middle, self.dark5(middle)]


def csp_darknet(*, depth: float, width: float, depthwise: bool) -> CspDarknet:
    """Factory of the declaration."""
    return CspDarknet(depth, width, depthwise)
