"""Which maps of a neck are pooled."""

from collections.abc import Sequence
from itertools import pairwise

from harness.errors import UserError
from harness.model.features import FeatureSpec


def find_strides(part: str, features: Sequence[FeatureSpec], strides: Sequence[int]) -> list[int]:
    """Positions of the maps with these strides.

    Raises:
        UserError: there is none with one of them.
    """
    known = [feature.stride for feature in features]
    for stride in strides:
        if stride not in known:
            given = ", ".join(str(feature) for feature in features)
            raise UserError(
                f"{part} wants a map of stride {stride} but is given {given}",
                hint=f"choose strides from {', '.join(map(str, known))}",
            )
    return [known.index(stride) for stride in strides]


def require_doubling(part: str, strides: Sequence[int]) -> None:
    """Raises UserError where a map is not twice as coarse as the one before."""
    if any(b != 2 * a for a, b in pairwise(strides)):
        raise UserError(
            f"{part} has strides {', '.join(map(str, strides))}",
            hint="each must be twice the one before",
        )
