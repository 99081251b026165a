"""On what terms the numbers hold, and which of them not to believe."""

from dataclasses import dataclass

from harness.report.cells import conditions_of, title_of, warnings_of
from harness.report.sections.measured import Board
from harness.results.run import Run
from harness.results.validity import LEVELS


@dataclass(frozen=True)
class Doubt:
    """A verdict that several numbers share."""

    level: str
    metrics: str
    detectors: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Notes:
    """Conditions, doubts (the worst first), warnings, and what could not be derived."""

    conditions: tuple[str, ...]
    doubts: tuple[Doubt, ...]
    valid: int
    warnings: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def headline(self) -> str:
        """Whether there is something to read before believing the numbers, for the top."""
        levels = [doubt.level for doubt in self.doubts]
        parts = []
        if "invalid" in levels:
            parts.append("Some numbers are invalid and left out of every answer.")
        if "doubtful" in levels:
            parts.append("Some numbers are doubtful.")
        if self.missing:
            parts.append("Something could not be derived.")
        return " ".join(parts)


def collect_notes(run: Run, board: Board, metrics: tuple[str, ...]) -> Notes:
    """Of the numbers in the main table."""
    there = [
        (name, metric)
        for name in board.detectors
        for metric in metrics
        if board.of(name, metric).is_there
    ]
    doubtful = [place for place in there if board.of(*place).level != "valid"]
    return Notes(
        tuple(conditions_of(run.frame)),
        _doubts(board, doubtful),
        len(there) - len(doubtful),
        tuple(warnings_of(run.frame, list(metrics))),
        run.notes,
    )


def _doubts(board: Board, places: list[tuple[str, str]]) -> tuple[Doubt, ...]:
    """Numbers with the same verdict and reasons are told together."""
    shared: dict[tuple[str, tuple[str, ...]], list[tuple[str, str]]] = {}
    for place in places:
        measured = board.of(*place)
        shared.setdefault((measured.level, measured.reasons), []).append(place)
    found = [
        Doubt(level, _titles([m for _, m in who]), _names([n for n, _ in who]), reasons)
        for (level, reasons), who in shared.items()
    ]
    return tuple(sorted(found, key=lambda doubt: -LEVELS.index(doubt.level)))


def _titles(metrics: list[str]) -> str:
    return _names([title_of(metric) for metric in metrics])


def _names(names: list[str]) -> str:
    return ", ".join(dict.fromkeys(names))
