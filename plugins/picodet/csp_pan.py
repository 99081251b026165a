"""CSP-PAN, PicoDet's neck: a path aggregation network of cross-stage partial layers.

Paper: https://arxiv.org/abs/2111.00902, section 3.1; CSP: https://arxiv.org/abs/1911.11929.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harness.model.features import FeatureSpec
from harness.model.path_aggregation import PathAggregation
from harness_plugins.picodet.blocks import conv, separable


class CspLayer(nn.Module):
    """Twice the channels -> channels; half of these pass a bottleneck, half pass by."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // 2
        self.main = nn.Sequential(
            conv(2 * channels, hidden), conv(hidden, hidden), separable(hidden)
        )
        self.short = conv(2 * channels, hidden)
        self.last = conv(2 * hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(torch.cat([self.main(x), self.short(x)], 1))
        return out


class CspPan(PathAggregation):
    """`PathAggregation` by CSP layers, of as many channels everywhere.

    Args:
        in_features, channels: see there.
    """

    def __init__(self, in_features: Sequence[FeatureSpec], channels: int = 96) -> None:
        super().__init__(
            "csp_pan",
            in_features,
            channels,
            reduce=lambda given: conv(given, channels),
            join=lambda: CspLayer(channels),
            halve=lambda: separable(channels, stride=2),
            upsampling="nearest",
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
