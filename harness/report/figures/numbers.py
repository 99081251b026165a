"""Means over seeds, and numbers as words for the tables below figures."""

import math
from collections.abc import Sequence

from harness.results.ap.types import CellAnalysis, Estimate
from harness.results.run import Run

DASH = "–"


def mean(values: Sequence[float]) -> float:
    """Of those that are there; NaN without any."""
    there = [value for value in values if not math.isnan(value)]
    return sum(there) / len(there) if there else math.nan


def over_seeds(estimates: Sequence[Estimate]) -> Estimate:
    """Mean over seeds of value and bounds: what images alone leave open, not what seeds do."""
    return Estimate(
        mean([e.value for e in estimates]),
        mean([e.low for e in estimates]),
        mean([e.high for e in estimates]),
        max((e.count for e in estimates), default=0),
        max((e.images for e in estimates), default=0),
    )


def analysed(run: Run) -> dict[str, list[CellAnalysis]]:
    """Detector -> its analyses, one per seed, of those that have any."""
    found = {name: run.analyses_of(name) for name in run.detectors}
    return {name: cells for name, cells in found.items() if cells}


def show(value: float, digits: int = 1) -> str:
    return DASH if math.isnan(value) else f"{value:,.{digits}f}"


def show_ap(estimate: Estimate) -> str:
    """Value and interval, 0 to 100."""
    if math.isnan(estimate.value):
        return DASH
    value = show(100 * estimate.value)
    if math.isnan(estimate.low):
        return value
    return f"{value} ({show(100 * estimate.low)} to {show(100 * estimate.high)})"
