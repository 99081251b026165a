"""Intervals of differences as bars on one scale, beside their numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.report.sections.differences import Gap

MARGIN = 4.0  # percent left free at both ends, for the dots


@dataclass(frozen=True)
class Bar:
    """Places in percent of the width: of the interval, its value, and no difference."""

    start: float
    width: float
    at: float
    zero: float


def draw_bars(gaps: Sequence[Gap]) -> list[Bar | None]:
    """One a gap, all on one scale that holds zero; None where there is no interval."""
    ends = [x for gap in gaps for x in (gap.low, gap.high, gap.value) if not math.isnan(x)]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    if low == high:
        return [None for _ in gaps]

    def place(x: float) -> float:
        return round(MARGIN + (100 - 2 * MARGIN) * (x - low) / (high - low), 2)

    return [
        None
        if math.isnan(gap.low)
        else Bar(
            place(gap.low),
            round(place(gap.high) - place(gap.low), 2),
            place(gap.value),
            place(0.0),
        )
        for gap in gaps
    ]
