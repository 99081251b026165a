"""What parts say about the feature maps they give, so that joints can be checked."""

from dataclasses import dataclass


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
    """The map that a RoI op pools for each proposal: (channels, height, width)."""

    channels: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}"
