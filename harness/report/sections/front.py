"""The Pareto front in words: who is worth its cost, and by whom the others are beaten."""

from dataclasses import dataclass

from harness.report.sections.differences import find_gap
from harness.report.sections.measured import Board

COSTS = {
    "macs_paper": "multiply-adds",
    "latency_end_to_end_p50": "latency",
}


@dataclass(frozen=True)
class Step:
    """A detector on the front, from cheap to dear.

    Attributes:
        cost, ap: as shown, with the unit.
        gain: what it brings over the step before, "" for the first.
        sign: of that gain, as `differences.Gap`.
        doubt: why its cost or AP must be taken with care, "" where they need not be.
    """

    detector: str
    cost: str
    ap: str
    gain: str
    sign: str
    doubt: str = ""


@dataclass(frozen=True)
class Front:
    """AP against one cost.

    Attributes:
        cost: in words.
        beaten: (detector, by which of the front).
    """

    cost: str
    steps: tuple[Step, ...]
    beaten: tuple[tuple[str, str], ...]


def find_fronts(board: Board) -> tuple[Front, ...]:
    """One a cost that was measured; of detectors with valid numbers, by their point values."""
    fronts = (_front(board, metric, words) for metric, words in COSTS.items() if board.has(metric))
    return tuple(front for front in fronts if len(front.steps) + len(front.beaten) > 1)


def on_front(points: dict[str, tuple[float, float]]) -> list[str]:
    """Names of (cost, AP) that no other beats in both, from cheap to dear."""
    kept: list[str] = []
    for name in sorted(points, key=lambda n: (points[n][0], -points[n][1])):
        if not kept or points[name][1] > points[kept[-1]][1]:
            kept.append(name)
    return kept


def _front(board: Board, cost: str, words: str) -> Front:
    points = {
        name: (board.of(name, cost).value, board.of(name, "ap").value)
        for name in board.detectors
        if board.of(name, cost).is_usable and board.of(name, "ap").is_usable
    }
    names = on_front(points)
    steps = [_step(board, cost, n, b) for b, n in zip([None, *names], names, strict=False)]
    beaten = [(name, _beaten_by(points, names, name)) for name in points if name not in names]
    return Front(words, tuple(steps), tuple(beaten))


def _step(board: Board, cost: str, name: str, before: str | None) -> Step:
    column, ap = board.columns[cost], board.columns["ap"]
    shown = f"{column.show(board.of(name, cost).value)} {column.unit}"
    gap = None if before is None else find_gap(board.run, name, before, "ap")
    return Step(
        name,
        shown,
        ap.show(board.of(name, "ap").value),
        "" if gap is None else gap.shown,
        "" if gap is None else gap.sign,
        "; ".join((*board.of(name, cost).reasons, *board.of(name, "ap").reasons)),
    )


def _beaten_by(points: dict[str, tuple[float, float]], names: list[str], name: str) -> str:
    """The best of the front that costs no more: the last, since AP rises along it."""
    return [other for other in names if points[other][0] <= points[name][0]][-1]
