"""Separable convolutions for training, eager inference and fused inference.

Paper: https://arxiv.org/abs/2304.03428, section 3.2: a depthwise 3x3 convolution, then a 1x1
convolution in groups, without an activation in between. Some ways need the cells of all levels as
rows (B, cells, C): level after level, and row by row in each.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.errors import UserError
from harness.ops import SeparableWeights, map_of_rows, pack_separable
from harness.ops import separable_conv as separable_rows

WEIGHTS = tuple(field.name for field in fields(SeparableWeights))
ALIGNMENT = 8  # channels that 16-bit kernels of GPUs read at once


def trains_on_gpu(x: Tensor) -> bool:
    """Whether `x` is on a GPU and its results get a gradient: then other kernels are faster."""
    return x.is_cuda and torch.is_grad_enabled()


def require_groups(part: str, channels: int, groups: int) -> None:
    """Raises UserError where a grouped convolution cannot split its channels evenly."""
    if channels % groups:
        raise UserError(
            f"{part} has {channels} channels in {groups} groups",
            hint="groups must divide the channels",
        )


def aligned(channels: int) -> int:
    """The next multiple of 8."""
    return -(-channels // ALIGNMENT) * ALIGNMENT


def bias_of(conv: nn.Conv2d) -> Tensor:
    """Of a convolution that has one."""
    assert conv.bias is not None
    return conv.bias


def pad_outputs(conv: nn.Conv2d, channels: int) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution with more output channels; the added ones are zero."""
    more = channels - conv.out_channels
    return F.pad(conv.weight, (0, 0) * 3 + (0, more)), F.pad(bias_of(conv), (0, more))


class SeparableConv(nn.Sequential):
    """Depthwise 3x3, then a 1x1 in groups, both with bias.

    For training on a GPU the depthwise one is padded to a multiple of 8 channels and channels-last,
    for which cuDNN has special kernels (the weight's gradient of 245 channels of 80x80 takes
    0.16 ms instead of 2.5 ms, in batches of 32 on an H100), and the grouped one is a batched
    product, because cuDNN computes gradients one group at a time. Maps may come padded; the results
    are contiguous and without padding.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.Conv2d(channels, channels, 1, groups=groups),
        )

    @property
    def layers(self) -> tuple[nn.Conv2d, nn.Conv2d]:
        """The depthwise and the 1x1 convolution."""
        return cast("tuple[nn.Conv2d, nn.Conv2d]", (self[0], self[1]))

    def forward(self, x: Tensor) -> Tensor:
        if trains_on_gpu(x):
            return self.product(x)
        out: Tensor = super().forward(x)  # type: ignore[no-untyped-call]  # torch's is untyped
        return out

    def product(self, x: Tensor) -> Tensor:
        """(B, C or `aligned(C)`, H, W) -> (B, C, H, W), contiguous."""
        depthwise, pointwise = self.layers
        channels = depthwise.in_channels
        padded = aligned(channels)
        wide = F.pad(x, (0, 0) * 2 + (0, padded - x.shape[1]))
        wide = wide.contiguous(memory_format=torch.channels_last)
        weight, bias = pad_outputs(depthwise, padded)
        middle = F.conv2d(wide, weight, bias, padding=1, groups=padded)
        planes: Tensor = _Planes.apply(middle, channels)
        side = channels // pointwise.groups
        products = pointwise.weight.view(pointwise.groups, side, side) @ planes.view(
            len(x), pointwise.groups, side, -1
        )
        # autocast's product is in 16 bits, as the convolution would be
        return products.view(planes.shape) + bias_of(pointwise).to(products.dtype)[:, None, None]


class _Planes(torch.autograd.Function):
    """The first channels of channels-last maps as contiguous planes; one copy each way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, channels: int) -> Tensor:
        ctx.wide = x.shape[1]
        return x[:, :channels].contiguous()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        batch, channels, height, width = gradient.shape
        size, how = (batch, ctx.wide, height, width), torch.channels_last
        wide = torch.empty(size, dtype=gradient.dtype, device=gradient.device, memory_format=how)
        wide[:, :channels] = gradient
        wide[:, channels:] = 0
        return wide, None


def separable_at(patches: Tensor, depthwise: nn.Conv2d, pointwise: nn.Conv2d) -> Tensor:
    """The separable convolution at some cells.

    Args:
        patches: (B, S, 9, C), the 3x3 neighbourhood of each cell, row by row.

    Returns:
        (B, S, C).
    """
    taps = depthwise.weight.flatten(1).T
    middle = (patches * taps).sum(2) + bias_of(depthwise)
    groups = pointwise.groups
    side = pointwise.in_channels // groups
    # one product per group, over all cells
    of_groups = middle.reshape(-1, groups, side).transpose(0, 1)
    products = of_groups @ pointwise.weight.view(groups, side, side).mT
    return products.transpose(0, 1).reshape(middle.shape) + bias_of(pointwise)


class FusedSeparable(nn.Module):
    """The separable convolutions of several maps in one launch, for inference.

    Args:
        convs: depthwise and grouped 1x1 convolution of each map.
        relu: whether a ReLU follows.

    Attributes:
        padded: channels of the rows, a multiple of 8, filled with zeros.
    """

    def __init__(self, convs: Sequence[tuple[nn.Conv2d, nn.Conv2d]], relu: bool = False) -> None:
        super().__init__()
        self.relu, self.count = relu, len(convs)
        self.channels = convs[0][0].in_channels
        for i, (depthwise, pointwise) in enumerate(convs):
            # buffers, so that they move with the module and compilers treat them as constants
            for name, tensor in vars(pack_separable(depthwise, pointwise)).items():
                self.register_buffer(f"{name}_{i}", tensor, persistent=False)
        self.padded = aligned(self.channels)

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


@torch.no_grad()
def widen(conv: nn.Conv2d, channels: int) -> nn.Conv2d:
    """A copy with more output channels; the added ones are zero."""
    wider = nn.Conv2d(conv.in_channels, channels, conv.kernel_size).to(conv.weight)  # type: ignore[arg-type]
    weight, bias = pad_outputs(conv, channels)
    wider.load_state_dict({"weight": weight, "bias": bias})
    return wider.requires_grad_(False)


@torch.no_grad()
def join_outputs(convs: Sequence[nn.Conv2d], in_channels: int) -> tuple[Tensor, Tensor]:
    """Several 1x1 convolutions of one map as one product of its rows.

    Args:
        in_channels: of the rows, at least those of the convolutions; the rest is not read.

    Returns:
        Weight and bias: the outputs side by side, then zeros up to a multiple of 8.
    """
    weight = torch.cat([conv.weight.flatten(1) for conv in convs])
    bias = torch.cat([bias_of(conv) for conv in convs])
    more = aligned(len(weight)) - len(weight)
    return F.pad(weight, (0, in_channels - weight.shape[1], 0, more)), F.pad(bias, (0, more))


def join_rows(maps: Sequence[Tensor]) -> Tensor:
    """Maps (B, C, H, W) -> (B, cells of all maps + 1, C); the last row is zero."""
    rows = [x.permute(0, 2, 3, 1).flatten(1, 2) for x in maps]
    batch, _, channels = rows[0].shape
    return torch.cat([*rows, rows[0].new_zeros((batch, 1, channels))], 1)


def split_rows(rows: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
    """Rows (B, cells or more, C) of some maps' cells -> a map (B, C, H, W) each, views of them."""
    found, first = [], 0
    for x in maps:
        height, width = x.shape[-2:]
        found.append(map_of_rows(rows, first, (height, width)))
        first += height * width
    return found


def take_rows(rows: Tensor, indices: Tensor) -> Tensor:
    """(B, N, C) and (B, K) -> (B, K, C), by whole rows, while gather reads single numbers."""
    first = torch.arange(len(rows), device=rows.device)[:, None] * rows.shape[1]
    taken = rows.flatten(0, 1).index_select(0, (indices + first).flatten())
    return taken.view(*indices.shape, rows.shape[2])


def find_neighbours(sizes: Sequence[tuple[int, int]]) -> Tensor:
    """(cells, 9) int64: the 3x3 rows around each; outside the map, the row after the last.

    Args:
        sizes: (height, width) of each level.
    """
    total, first, found = sum(h * w for h, w in sizes), 0, []
    for height, width in sizes:
        own = torch.arange(first, first + height * width).view(height, width)
        framed = F.pad(own, (1, 1, 1, 1), value=total)
        found.append(framed.unfold(0, 3, 1).unfold(1, 3, 1).reshape(-1, 9))
        first += height * width
    return torch.cat(found)
