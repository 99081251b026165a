"""The top of the page: which one, and is it better than the others?"""

import math
from dataclasses import dataclass, replace

from harness.report.sections.bars import Bar, draw_bars
from harness.report.sections.differences import Gap, find_gap, hold_together
from harness.report.sections.front import Front, find_fronts
from harness.report.sections.measured import Board, Measured, show_interval
from harness.results.protocol import mismatches
from harness.results.samples.medians import compare_latency

QUESTIONS = {"ap": "Most accurate", "ap_small": "Best on small objects"}
COSTS = {
    "macs_paper": "Fewest multiply-adds",
    "parameters": "Fewest parameters",
    "latency_end_to_end_p50": "Fastest",
}


@dataclass(frozen=True)
class Winner:
    """The best detector of one metric.

    Attributes:
        question: what is best of it.
        title: of the metric.
        value, unit, interval: as shown.
        verdict: whether the others are really behind, in a sentence.
        mood: "sure", "single", "unsure" or "alone": how sure the verdict is; "single" is sure but
            for the seeds, of which a side has only one.
        caveat: what the verdict leaves open though it is sure, or "".
        doubts: why its number, or one left out, must be taken with care.
        gaps: to every other detector, the nearest first, each with how it is drawn.
    """

    question: str
    title: str
    detector: str
    value: str
    unit: str
    interval: str
    verdict: str
    mood: str
    doubts: tuple[str, ...] = ()
    gaps: tuple[tuple[Gap, Bar | None], ...] = ()
    caveat: str = ""


@dataclass(frozen=True)
class Answer:
    """Winners by accuracy, winners by cost, and the fronts between them."""

    accuracy: tuple[Winner, ...]
    cost: tuple[Winner, ...]
    fronts: tuple[Front, ...]

    @property
    def is_empty(self) -> bool:
        return not (self.accuracy or self.cost)


def find_answer(board: Board) -> Answer:
    """What can be said of the numbers that are there; an invalid one never wins."""
    accuracy = [_accurate(board, metric) for metric in QUESTIONS if board.has(metric)]
    cost = [_cheap(board, metric) for metric in COSTS if board.has(metric)]
    return Answer(
        tuple(winner for winner in accuracy if winner is not None),
        tuple(winner for winner in cost if winner is not None),
        find_fronts(board),
    )


def ranked(board: Board, metric: str) -> list[str]:
    """Detectors with a number that is not invalid, the best first."""
    there = [name for name in board.detectors if board.of(name, metric).is_usable]
    upwards = board.columns[metric].higher_is_better is True
    return sorted(there, key=lambda name: board.of(name, metric).value * (-1 if upwards else 1))


def _accurate(board: Board, metric: str) -> Winner | None:
    order = ranked(board, metric)
    if not order:
        return None
    gaps = hold_together([find_gap(board.run, order[0], other, metric) for other in order[1:]])
    verdict, mood = _sum_up(gaps)
    caveat = next((gap.caveat for gap in gaps if gap.sign == "better" and gap.caveat), "")
    mood = "single" if caveat and mood == "sure" else mood
    winner = _winner(board, QUESTIONS[metric], metric, order[0], verdict, mood, gaps)
    return replace(winner, caveat=caveat)


def _sum_up(gaps: tuple[Gap, ...]) -> tuple[str, str]:
    sure = [gap.behind for gap in gaps if gap.sign == "better"]
    open_ = [gap.behind for gap in gaps if gap.sign in ("noise", "worse")]
    unknown = [gap.behind for gap in gaps if gap.sign == "unknown"]
    if not gaps:
        return "There is nothing to compare it with.", "alone"
    if not open_ and not unknown:
        all_ = "both others" if len(sure) == 2 else "all others" if len(sure) > 2 else sure[0]
        return f"Better than {all_} on these images.", "sure"
    parts = [f"Better than {_list(sure)} on these images."] if sure else []
    if open_:
        parts.append(f"Not distinguishable from {_list(open_)}.")
    if unknown:
        parts.append(f"Noise unknown against {_list(unknown)}.")
    return " ".join(parts), "unsure"


def _cheap(board: Board, metric: str) -> Winner | None:
    order = ranked(board, metric)
    if not order:
        return None
    if len(order) == 1:
        verdict = "There is nothing to compare it with."
        return _winner(board, COSTS[metric], metric, order[0], verdict, "alone", ())
    verdict, mood = _cost_verdict(board, metric, order)
    rival = board.of(order[1], metric)
    mood = "unsure" if board.of(order[0], metric).reasons or rival.reasons else mood
    winner = _winner(board, COSTS[metric], metric, order[0], verdict, mood, ())
    more = tuple(f"{order[1]}: {reason}" for reason in rival.reasons)
    return replace(winner, doubts=(*winner.doubts, *more))


def _cost_verdict(board: Board, metric: str, order: list[str]) -> tuple[str, str]:
    first, second = (board.of(name, metric) for name in order[:2])
    name = order[1]
    if first.value == second.value:
        return f"The same as {name}.", "sure"
    if not metric.startswith("latency"):
        return f"{name} has {_more(second.value / first.value)}; exact.", "sure"
    differing = _differing(first, second)
    if differing:
        return f"Not comparable with {name}: {differing}.", "unsure"
    if not first.samples or not second.samples:
        return f"Ahead of {name}; the noise is unknown.", "unsure"
    found = compare_latency(first.samples, second.samples)
    if not found.outside:
        return f"Not distinguishable from {name}.", "unsure"
    low, high = f"{found.low:.2f}", f"{found.high:.2f}"
    return f"{name} takes {found.ratio:.2f} times as long [{low}, {high}].", "sure"


def _more(ratio: float) -> str:
    return f"{ratio:.1f} times as many" if ratio >= 1.95 else f"{ratio - 1:.1%} more"


def _differing(first: Measured, second: Measured) -> str:
    """The first condition on which two detectors' numbers differ, "" where none does."""
    one, two = first.records[0], second.records[0]
    found = mismatches(one.metric, one.conditions, two.conditions, same_detector=False)
    return str(found[0]) if found else ""


def _winner(
    board: Board,
    question: str,
    metric: str,
    name: str,
    verdict: str,
    mood: str,
    gaps: tuple[Gap, ...],
) -> Winner:
    measured, column = board.of(name, metric), board.columns[metric]
    left_out = [
        f"{other} is left out: {'; '.join(board.of(other, metric).reasons)}"
        for other in board.detectors
        if board.of(other, metric).level == "invalid"
    ]
    missing = [o for o in board.detectors if math.isnan(board.of(o, metric).value)]
    left_out += [f"not measured: {', '.join(missing)}"] if missing else []
    return Winner(
        question,
        column.title,
        name,
        column.show(measured.value),
        column.title if column.unit == "%" else column.unit,
        show_interval(column, measured.low, measured.high),
        verdict,
        mood,
        (*measured.reasons, *left_out),
        tuple(zip(gaps, draw_bars(gaps), strict=True)),
    )


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
