"""What parts declare about their feature maps, and checks of what another part can take."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.errors import UserError


@dataclass(frozen=True)
class FeatureSpec:
    """One feature map of a backbone or neck.

    Attributes:
        name: unique within the part, such as "c3" or "p3".
        channels: size of dimension 1.
        stride: image pixels per cell, the same in x and y.
    """

    name: str
    channels: int
    stride: int

    def __str__(self) -> str:
        return f"{self.name} {self.channels}ch/{self.stride}"


@dataclass(frozen=True)
class RoiSpec:
    """What a RoI op pools for each proposal: (channels, height, width)."""

    channels: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}"


def describe_specs(features: Sequence[FeatureSpec]) -> str:
    """As messages name them: "p3 245ch/8, p4 245ch/16"."""
    return ", ".join(map(str, features))


def find_strides(part: str, features: Sequence[FeatureSpec], strides: Sequence[int]) -> list[int]:
    """Positions of the maps with these strides; `part` is the name for messages.

    Raises:
        UserError: no map has one of them.
    """
    known = [feature.stride for feature in features]
    for stride in strides:
        if stride not in known:
            raise UserError(
                f"{part} needs a map of stride {stride} but is given {describe_specs(features)}",
                hint=f"choose strides from {', '.join(map(str, known))}",
            )
    return [known.index(stride) for stride in strides]


def strides_double(strides: Sequence[int]) -> bool:
    """Whether each map is twice as coarse as the one before."""
    return all(b == 2 * a for a, b in pairwise(strides))


def require_pyramid(part: str, features: Sequence[FeatureSpec]) -> None:
    """Raises UserError unless there is a map and each is twice as coarse as the one before."""
    if not features or not strides_double([feature.stride for feature in features]):
        raise UserError(
            f"{part} is given {describe_specs(features) or 'no features'}",
            hint="it takes one or more maps, each with twice the stride of the one before",
        )


def require_one_width(part: str, features: Sequence[FeatureSpec]) -> None:
    """Raises UserError unless all maps have the same number of channels."""
    if len({feature.channels for feature in features}) > 1:
        raise UserError(
            f"{part} is given {describe_specs(features)}",
            hint="it takes the same number of channels on every map",
        )


def require_strides_divide(
    part: str, features: Sequence[FeatureSpec], image_size: tuple[int, int]
) -> None:
    """Raises UserError unless both sides of the image are multiples of every stride."""
    divisor = math.lcm(*(feature.stride for feature in features))
    if any(side % divisor for side in image_size):
        raise UserError(
            f"{part} is given {describe_specs(features)} of an image of "
            f"{image_size[0]}x{image_size[1]}",
            hint=hint_sizes(image_size, divisor),
        )


def hint_sizes(image_size: tuple[int, int], divisor: int) -> str:
    """What to say of (height, width) that are not multiples of a number: the nearest that are."""
    below, above = ([divisor * max(1, round_to(side / divisor)) for side in image_size]
                    for round_to in (math.floor, math.ceil))  # fmt: skip
    near = dict.fromkeys(f"{height}x{width}" for height, width in (below, above))
    return f"the sides must be multiples of {divisor}: {' or '.join(near)} would do"
