"""All sides against the base, row by row."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from harness.results.changes import find_change
from harness.results.families import family_of
from harness.results.gates import Gate, evaluate
from harness.results.rows import (
    align,
    choose_detectors,
    choose_metrics,
    gated_metric,
)
from harness.results.samples.medians import SMALLEST_EFFECT
from harness.results.types import NOT_COMPARED, Change, Comparison, Figure, Row, Side

ONE_PROCESS = (
    "times of one process a side: repeated starts differ by more than the samples within one"
)


@dataclass(frozen=True)
class Rules:
    """How to compare.

    Attributes:
        allow_mismatch: compare what was not measured alike, too, and say so.
        smallest_effect: relative difference of times that is too small to matter.
    """

    allow_mismatch: bool = False
    smallest_effect: float = SMALLEST_EFFECT


def compare_sides(
    sides: Sequence[Side],
    metrics: Sequence[str] = (),
    only: Sequence[str] = (),
    rules: Rules | None = None,
    gates: Sequence[Gate] = (),
) -> Comparison:
    """Compare sides with the first of them.

    Args:
        metrics: names or short names, ["all"], or none for the base's main table.
        only: detectors; none for all.
        gates: their metrics are compared, too, but shown only if asked for.

    Raises:
        UserError: a metric or detector that no side has.
    """
    rules = rules or Rules()
    shown = choose_metrics(sides, list(metrics))
    gates = [replace(gate, metric=gated_metric(gate.metric, sides)) for gate in gates]
    rows = _rows(sides, shown, only, rules)
    gated = _rows(sides, list(dict.fromkeys(gate.metric for gate in gates)), only, rules)
    names = tuple(side.name for side in sides)
    return Comparison(
        sides=names,
        paths=tuple(side.path for side in sides),
        rows=rows,
        notes=(*dict.fromkeys(note for side in sides for note in side.notes), *_starts(rows)),
        gates=tuple(r for g in gates for r in evaluate(g, gated, names, g.metric in shown)),
        lone=tuple(_lone(sides, only)),
    )


def one_process(metric: str, change: Change, seeds: Sequence[int]) -> bool:
    """Whether the interval of a time knows nothing of how repeated starts differ."""
    timed = family_of(metric) in ("latency", "time") and not math.isnan(change.low)
    return timed and 1 in seeds


def _starts(rows: Sequence[Row]) -> Iterator[str]:
    """What the interval of times leaves out where a side has them of one process only."""
    for row in rows:
        for side, change in enumerate(row.changes, 1):
            if one_process(row.metric, change, (row.seeds[0], row.seeds[side])):
                yield ONE_PROCESS
                return


def _lone(sides: Sequence[Side], only: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Detectors that the base lacks, or has alone, with the sides that have them."""
    if sides[0].picked is not None:
        return
    for detector in choose_detectors(sides, only):
        having = tuple(side.name for side in sides if detector in side.figures)
        if detector not in sides[0].figures or len(having) == 1:
            yield detector, having


def _rows(
    sides: Sequence[Side], metrics: Sequence[str], only: Sequence[str], rules: Rules
) -> tuple[Row, ...]:
    picked = [side.picked or "" for side in sides]
    return tuple(
        make_row(detector, metric, figures, picked, rules)
        for detector, metric, figures in align(sides, metrics, only)
    )


def make_row(
    detector: str,
    metric: str,
    figures: Sequence[Figure | None],
    picked: Sequence[str],
    rules: Rules,
) -> Row:
    """One metric over all sides.

    Args:
        picked: of each side, its one detector; "" where all of them are compared.
    """
    some = next(figure for figure in figures if figure is not None)

    def change_of(one: int, other: int) -> Change:
        return find_change(
            figures[one],
            figures[other],
            same_detector=picked[one] == picked[other],
            allow_mismatch=rules.allow_mismatch,
            smallest_effect=rules.smallest_effect,
        )

    changes = tuple(change_of(0, other) for other in range(1, len(figures)))
    values = tuple(math.nan if figure is None else figure.value for figure in figures)
    in_play = [0, *(i for i, c in enumerate(changes, 1) if c.verdict not in NOT_COMPARED)]
    best = _best(values, in_play, some.higher_is_better)
    level = [i for i in in_play if best and i != best[0] and not change_of(best[0], i).real]
    return Row(
        detector=detector,
        metric=metric,
        unit=some.unit,
        higher_is_better=some.higher_is_better,
        values=values,
        seeds=tuple(0 if figure is None else len(figure.seeds) for figure in figures),
        changes=changes,
        best=best,
        rivals=tuple(level),
        levels=tuple("valid" if figure is None else figure.level for figure in figures),
        doubts=tuple(() if figure is None else figure.doubts for figure in figures),
    )


def _best(values: Sequence[float], in_play: Sequence[int], higher: bool | None) -> tuple[int, ...]:
    """Sides with the best value; none where there is no better or all are alike."""
    chosen = [values[i] for i in in_play if not math.isnan(values[i])]
    if higher is None or len(set(chosen)) < 2:
        return ()
    best = max(chosen) if higher else min(chosen)
    return tuple(i for i in in_play if values[i] == best)
