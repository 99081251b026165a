"""Colours and marks of detectors, the same in every figure and safe for the colour-blind.

Source of the colours: M. Okabe and K. Ito, Color Universal Design (https://jfly.uni-koeln.de/color).
"""

from collections.abc import Sequence
from dataclasses import dataclass

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


@dataclass(frozen=True)
class Mark:
    """How a detector is drawn."""

    color: str
    symbol: str
    dash: str


def marks(detectors: Sequence[str]) -> dict[str, Mark]:
    """Colour, symbol and dash of each detector, by its place in the suite."""
    return {
        name: Mark(
            COLORS[i % len(COLORS)],
            SYMBOLS[(i + i // len(COLORS)) % len(SYMBOLS)],
            DASHES[(i + i // len(COLORS)) % len(DASHES)],
        )
        for i, name in enumerate(detectors)
    }
