"""The convolutions of RetinaNet's head, which all levels share.

Paper: https://arxiv.org/abs/1708.02002, section 4. Modules have the names that torchvision gives
them, whose files load.
"""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from harness_plugins.retina.params import RetinaHeadParams

STD = 0.01  # of weights at the start


class SharedLayer(nn.Module):
    """3x3 convolution of all levels, batch norm of each level's own, ReLU.

    What a layer gives has another mean and variance on each level: one norm of all would be
    trained on one level at a time, and tested with a mixture of their statistics.

    Args:
        norms: levels, 0 for none.
    """

    def __init__(self, in_channels: int, channels: int, depthwise: bool, norms: int) -> None:
        super().__init__()
        conv = conv3(in_channels, channels, depthwise, bias=not norms)
        self.add_module("0", conv)  # torchvision's name for it
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(norms))
        self.fused = nn.ModuleList()

    @property
    def conv(self) -> nn.Module:
        return self.get_submodule("0")

    def forward(self, x: Tensor, level: int) -> Tensor:
        if len(self.fused):
            return F.relu(self.fused[level](x), inplace=True)
        x = self.conv(x)
        if len(self.norms):
            x = self.norms[level](x)
        return F.relu(x, inplace=True)

    def fuse_for_inference(self) -> None:
        """A convolution for each level, with its norm in it.

        Where there is a single level the norm is fused already, as any that follows a convolution.
        """
        if len(self.norms) < 2:
            return
        *spatial, last = self.conv if isinstance(self.conv, nn.Sequential) else [self.conv]
        assert isinstance(last, nn.Conv2d)
        for norm in self.norms:
            assert isinstance(norm, nn.BatchNorm2d)
            self.fused.append(nn.Sequential(*spatial, fuse_conv_bn_eval(last, norm)))


class Branch(nn.Module):
    """Shared layers, then a convolution without activation.

    Args:
        last: name of that convolution.
        in_channels: of each map.
        outputs: its channels.
        levels: number of maps.
        params: of the head.
    """

    def __init__(
        self, last: str, in_channels: int, outputs: int, levels: int, params: RetinaHeadParams
    ) -> None:
        super().__init__()
        hidden, depthwise = params.hidden, params.depthwise
        norms = levels if params.norm == "batch" else 0
        widths = [in_channels, *[hidden] * (params.convolutions - 1)]
        self.conv = nn.ModuleList(SharedLayer(width, hidden, depthwise, norms) for width in widths)
        self.last = last
        self.add_module(last, conv3(hidden, outputs, depthwise))
        nn.init.normal_(self.outputs.weight, std=STD)

    @property
    def outputs(self) -> nn.Conv2d:
        """The last convolution, which gives the outputs."""
        last = self.get_submodule(self.last)
        conv = last[-1] if isinstance(last, nn.Sequential) else last
        assert isinstance(conv, nn.Conv2d)
        return conv

    def forward(self, features: list[Tensor]) -> tuple[Tensor, ...]:
        found = []
        for level, x in enumerate(features):
            for layer in self.conv:
                x = layer(x, level)
            found.append(self.get_submodule(self.last)(x))
        return tuple(found)


def conv3(in_channels: int, channels: int, depthwise: bool, bias: bool = True) -> nn.Module:
    """3x3 convolution, or a depthwise one with a 1x1 after it.

    The weights of a dense one begin as in the paper; with so small ones nothing would come through
    a few depthwise convolutions, which sum nine values and not thousands.
    """
    if not depthwise:
        conv = nn.Conv2d(in_channels, channels, 3, padding=1, bias=bias)
        nn.init.normal_(conv.weight, std=STD)
    else:
        spatial = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False)
        nn.init.kaiming_normal_(spatial.weight, nonlinearity="linear")
        conv = nn.Conv2d(in_channels, channels, 1, bias=bias)
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return nn.Sequential(spatial, conv) if depthwise else conv
