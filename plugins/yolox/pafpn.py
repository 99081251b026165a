"""YOLOX's neck: a path aggregation network (https://arxiv.org/abs/1803.01534) of CSP layers."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.errors import UserError
from harness.model.features import FeatureSpec, describe_specs, require_pyramid
from harness_plugins.yolox.blocks import ConvBnSilu, CspLayer, conv3


class YoloxPafpn(nn.Module):
    """Top-down, then bottom-up over three maps, whose channels stay as they are.

    Args:
        in_features: three maps, finest first, each twice as coarse as the one before.
        depth, depthwise: see `YoloxPafpnParams`.

    Raises:
        UserError: the maps are not such a pyramid.
    """

    checkpoint_name = "backbone"

    def __init__(self, in_features: Sequence[FeatureSpec], depth: float, depthwise: bool) -> None:
        super().__init__()
        require_pyramid("yolox_pafpn", in_features)
        if len(in_features) != 3:
            raise UserError(
                f"yolox_pafpn is given {describe_specs(in_features)}", hint="it takes three maps"
            )
        c3, c4, c5 = (feature.channels for feature in in_features)
        blocks = max(round(3 * depth), 1)

        def layer(in_channels: int, out_channels: int) -> CspLayer:
            return CspLayer(in_channels, out_channels, blocks, False, depthwise)

        self.lateral_conv0 = ConvBnSilu(c5, c4, 1)
        self.C3_p4 = layer(2 * c4, c4)
        self.reduce_conv1 = ConvBnSilu(c4, c3, 1)
        self.C3_p3 = layer(2 * c3, c3)
        self.bu_conv2 = conv3(c3, c3, 2, depthwise)
        self.C3_n3 = layer(2 * c3, c4)
        self.bu_conv1 = conv3(c4, c4, 2, depthwise)
        self.C3_n4 = layer(2 * c4, c5)
        self.out_features = tuple(
            FeatureSpec(f"p{f.stride.bit_length() - 1}", f.channels, f.stride) for f in in_features
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        fine, middle, coarse = features
        top = self.lateral_conv0(coarse)
        between = self.reduce_conv1(self.C3_p4(torch.cat([enlarge(top, middle), middle], 1)))
        out_fine = self.C3_p3(torch.cat([enlarge(between, fine), fine], 1))
        out_middle = self.C3_n3(torch.cat([self.bu_conv2(out_fine), between], 1))
        out_coarse = self.C3_n4(torch.cat([self.bu_conv1(out_middle), top], 1))
        return [out_fine, out_middle, out_coarse]


def enlarge(coarse: Tensor, fine: Tensor) -> Tensor:
    """Nearest neighbours, to the size of `fine`."""
    # under autocast nearest upsampling gives float32: no more precise, and twice as large
    return F.interpolate(coarse, fine.shape[-2:], mode="nearest").to(coarse.dtype)


def yolox_pafpn(in_features: Sequence[FeatureSpec], *, depth: float, depthwise: bool) -> YoloxPafpn:
    """Factory of the declaration."""
    return YoloxPafpn(in_features, depth, depthwise)
