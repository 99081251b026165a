"""Is A better than B? Over all pairs of detectors."""

from dataclasses import dataclass

from harness.report.sections.differences import Gap, find_gap
from harness.report.sections.measured import Board

METRICS = ("ap", "ap_small")
MOST = 12  # detectors; a larger square cannot be read


@dataclass(frozen=True)
class Matrix:
    """`rows[i]`: detector i minus every detector, None against itself.

    Attributes:
        told, pairs: how many of the pairs differ by more than noise.
        left_out: detectors for which there is no room.
        invalid: detectors whose number says nothing of them.
    """

    metric: str
    title: str
    names: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Gap | None, ...]], ...]
    told: int
    pairs: int
    left_out: tuple[str, ...]
    invalid: tuple[str, ...]


def compare_all(board: Board) -> tuple[Matrix, ...]:
    """A square for AP and one for AP-small, of the detectors whose detections could be read."""
    names = [name for name in board.detectors if board.run.analyses_of(name)]
    there = (_matrix(board, names, metric) for metric in METRICS if board.has(metric))
    return tuple(matrix for matrix in there if len(matrix.names) > 1)


def _matrix(board: Board, analysed: list[str], metric: str) -> Matrix:
    invalid = tuple(n for n in analysed if board.of(n, metric).level == "invalid")
    usable = [name for name in analysed if name not in invalid]
    names, left_out = usable[:MOST], tuple(usable[MOST:])
    rows = tuple(
        (
            ahead,
            tuple(
                None if ahead == other else find_gap(board.run, ahead, other, metric)
                for other in names
            ),
        )
        for ahead in names
    )
    told = sum(gap is not None and gap.sign == "better" for _, gaps in rows for gap in gaps)
    pairs = len(names) * (len(names) - 1) // 2
    title = board.columns[metric].title
    return Matrix(metric, title, tuple(names), rows, told, pairs, left_out, invalid)
