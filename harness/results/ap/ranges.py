"""Ranges of object areas, COCO's own and those of a manifest."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.data.boxes import COCO_AREAS
from harness.results.ap.boxes import Bools, Floats, Ints, Scene
from harness.results.ap.types import Frame


@dataclass(frozen=True)
class AreaRange:
    """Areas from `low` to `high` square pixels.

    Attributes:
        closed: whether `high` itself belongs to it. COCO's ranges are closed, so that an object of
            exactly 32x32 is small and medium; those of a manifest and of curves are half-open, so
            that each object is in one bin.
        frame: whose pixels.
    """

    low: float
    high: float
    closed: bool = False
    frame: Frame = "original"

    def holds(self, area: Floats, image: Ints, scene: Scene) -> Bools:
        """Whether each box is of such an area.

        Args:
            area: (n,) in the original.
            image: (n,) indices.

        Raises:
            ValueError: asked about the network's input of which nothing is known.
        """
        if self.frame == "network":
            if scene.shrink is None:
                raise ValueError("nobody said how images come into the network")
            area = area * scene.shrink[image]
        return (area >= self.low) & ((area <= self.high) if self.closed else (area < self.high))

    def divide(self, scene: Scene) -> tuple[Bools, Bools]:
        """(g,) objects that count in this range, and (n,) detections of such an area."""
        objects, detections = scene.objects, scene.detections
        targets = ~objects.crowd & self.holds(objects.area, objects.image, scene)
        return targets, self.holds(detections.area, detections.image, scene)


COCO_RANGES: Mapping[str, AreaRange] = {
    name: AreaRange(*bounds, closed=True) for name, bounds in COCO_AREAS.items()
}


def bin_ranges(edges: Sequence[float], frame: Frame) -> list[AreaRange]:
    """Ranges between edges of sqrt(area), and one more beyond the last."""
    return [AreaRange(low**2, high**2, frame=frame) for low, high in pairwise([*edges, math.inf])]
