"""Checks at the joints between parts: what a part is given against what it can take."""

from collections.abc import Sequence
from itertools import pairwise

from harness.errors import UserError
from harness.model.features import FeatureSpec


def describe_specs(features: Sequence[FeatureSpec]) -> str:
    return ", ".join(str(feature) for feature in features)


def require_pyramid(part: str, features: Sequence[FeatureSpec]) -> None:
    """Each map twice as coarse as the one before.

    Raises:
        UserError: it is not so.
    """
    strides = [feature.stride for feature in features]
    doubled = all(b == 2 * a for a, b in pairwise(strides))
    if not strides or not doubled:
        raise UserError(
            f"{part} is given {describe_specs(features) or 'no features'}",
            hint="it takes one or more maps, each with twice the stride of the one before",
        )


def require_one_width(part: str, features: Sequence[FeatureSpec]) -> None:
    """The same number of channels on every map.

    Raises:
        UserError: it is not so.
    """
    if len({feature.channels for feature in features}) > 1:
        raise UserError(
            f"{part} is given {describe_specs(features)}",
            hint="it takes the same number of channels on every map",
        )


def require_groups(part: str, channels: int, groups: int) -> None:
    """Channels that a grouped convolution can split.

    Raises:
        UserError: it is not so.
    """
    if channels % groups:
        raise UserError(
            f"{part} has {channels} channels in {groups} groups",
            hint="groups must divide the channels",
        )
