"""Separable convolutions, as training, eager inference and fused inference compute them.

Paper: https://arxiv.org/abs/2304.03428, section 3.2: a depthwise 3x3 convolution, then a 1x1
convolution in groups, without an activation in between.
"""

from collections.abc import Sequence
from dataclasses import fields

import torch
from torch import Tensor, nn

from harness.ops import SeparableWeights, map_of_rows, pack_separable
from harness.ops import separable_conv as separable_rows

WEIGHTS = tuple(field.name for field in fields(SeparableWeights))
ALIGNMENT = 8  # channels; 16-bit kernels of GPUs read so many at once


class GroupedPointwise(nn.Conv2d):
    """1x1 convolution in groups; while training on a GPU one batched product.

    cuDNN computes the gradients of a grouped convolution one group at a time. On a CPU, and without
    gradients, the convolution is as fast or faster.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__(channels, channels, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        if self.groups == 1 or x.device.type == "cpu" or not torch.is_grad_enabled():
            return super().forward(x)
        return self.product(x)

    def product(self, x: Tensor) -> Tensor:
        """The convolution as a product over images and groups, in the layout that `x` has."""
        side = self.in_channels // self.groups
        weight = self.weight.view(self.groups, side, side)
        # planes side by side: then neither the product nor its gradients need another layout
        products = weight @ x.reshape(len(x), self.groups, side, -1)
        assert self.bias is not None
        # autocast's product is in 16 bits, as the convolution would be
        result = products.view(x.shape) + self.bias.to(products.dtype)[:, None, None]
        given = x.is_contiguous(memory_format=torch.channels_last)
        return result.contiguous(memory_format=torch.channels_last) if given else result


def separable_conv(channels: int, groups: int) -> nn.Sequential:
    """Depthwise 3x3, then a grouped 1x1, both with bias."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
        GroupedPointwise(channels, groups),
    )


class FusedSeparable(nn.Module):
    """The separable convolutions of several maps in one launch, for inference.

    Args:
        convs: depthwise and grouped 1x1 convolution of each map.
        relu: whether a ReLU follows.

    Attributes:
        padded: channels of the rows, a multiple of 8: zeros behind the maps' own.
    """

    def __init__(self, convs: Sequence[tuple[nn.Conv2d, nn.Conv2d]], relu: bool = False) -> None:
        super().__init__()
        self.relu, self.count = relu, len(convs)
        self.channels = convs[0][0].in_channels
        for i, (depthwise, pointwise) in enumerate(convs):
            # buffers, so that they move along and compilers take them for constants
            for name, tensor in vars(pack_separable(depthwise, pointwise)).items():
                self.register_buffer(f"{name}_{i}", tensor, persistent=False)
        self.padded = -(-self.channels // ALIGNMENT) * ALIGNMENT

    @property
    def weights(self) -> list[SeparableWeights]:
        return [
            SeparableWeights(*(getattr(self, f"{name}_{i}") for name in WEIGHTS))
            for i in range(self.count)
        ]

    def rows(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps (B, C or more, H, W) -> (B, cells of all maps, `padded`)."""
        own = [x[:, : self.channels] for x in maps]
        return separable_rows(own, self.weights, self.padded, self.relu)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps (B, C or more, H, W) -> one (B, C, H, W) each, views of the same rows."""
        return split_rows(self.rows(maps)[..., : self.channels], maps)


def split_rows(rows: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
    """Rows (B, cells, C) of some maps' cells -> a map (B, C, H, W) each, views of the rows."""
    found, first = [], 0
    for x in maps:
        height, width = x.shape[-2:]
        found.append(map_of_rows(rows, first, (height, width)))
        first += height * width
    return found


def widen(conv: nn.Conv2d, channels: int) -> nn.Conv2d:
    """A copy with more output channels; the added ones are zero."""
    wider = nn.Conv2d(conv.in_channels, channels, conv.kernel_size).to(conv.weight)  # type: ignore[arg-type]
    with torch.no_grad():
        for name in ("weight", "bias"):
            own, given = getattr(wider, name), getattr(conv, name)
            own.zero_()[: len(given)] = given
    return wider.requires_grad_(False)


def join_outputs(convs: Sequence[nn.Conv2d], in_channels: int) -> nn.Linear:
    """Several 1x1 convolutions of one map as one product of its rows.

    Args:
        in_channels: of the rows, those of the convolutions or more; the added ones are not read.

    Returns:
        The outputs side by side, then zeros up to a multiple of 8.
    """
    weight = torch.cat([conv.weight.detach().flatten(1) for conv in convs])
    joined = nn.Linear(in_channels, -(-len(weight) // ALIGNMENT) * ALIGNMENT).to(weight)
    with torch.no_grad():
        joined.weight.zero_()[: len(weight), : weight.shape[1]] = weight
        joined.bias.zero_()[: len(weight)] = torch.cat([conv.bias for conv in convs])
    return joined.requires_grad_(False)
