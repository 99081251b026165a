"""All sides against the base, row by row."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.analysis.latency import SMALLEST_EFFECT
from harness.compare.changes import find_change
from harness.compare.gates import Gate, evaluate
from harness.compare.rows import align, choose_metrics, full_name, known_metrics
from harness.compare.types import Comparison, Figure, Row, Side


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
    known = known_metrics(sides)
    gates = [replace(gate, metric=full_name(gate.metric, known)) for gate in gates]
    rows = _rows(sides, shown, only, rules)
    gated = _rows(sides, list(dict.fromkeys(gate.metric for gate in gates)), only, rules)
    names = tuple(side.name for side in sides)
    return Comparison(
        sides=names,
        paths=tuple(side.path for side in sides),
        rows=rows,
        notes=tuple(dict.fromkeys(note for side in sides for note in side.notes)),
        gates=tuple(result for gate in gates for result in evaluate(gate, gated, names)),
    )


def _rows(
    sides: Sequence[Side], metrics: Sequence[str], only: Sequence[str], rules: Rules
) -> tuple[Row, ...]:
    picked = [side.picked for side in sides]
    same = [name == picked[0] for name in picked]
    return tuple(
        make_row(detector, metric, figures, same, rules)
        for detector, metric, figures in align(sides, metrics, only)
    )


def make_row(
    detector: str,
    metric: str,
    figures: Sequence[Figure | None],
    same_detector: Sequence[bool],
    rules: Rules,
) -> Row:
    """One metric over all sides.

    Args:
        same_detector: of each side, whether its detector has the name of the base's.
    """
    some = next(figure for figure in figures if figure is not None)
    changes = tuple(
        find_change(
            figures[0],
            other,
            same_detector=same,
            allow_mismatch=rules.allow_mismatch,
            smallest_effect=rules.smallest_effect,
        )
        for other, same in zip(figures[1:], same_detector[1:], strict=True)
    )
    values = tuple(math.nan if figure is None else figure.value for figure in figures)
    in_play = [0, *(i for i, c in enumerate(changes, 1) if c.verdict not in ("refused", "missing"))]
    return Row(
        detector=detector,
        metric=metric,
        unit=some.unit,
        higher_is_better=some.higher_is_better,
        values=values,
        seeds=tuple(0 if figure is None else len(figure.seeds) for figure in figures),
        changes=changes,
        best=_best(values, in_play, some.higher_is_better),
    )


def _best(values: Sequence[float], in_play: Sequence[int], higher: bool | None) -> tuple[int, ...]:
    """Sides with the best value; none where there is no better or all are alike."""
    chosen = [values[i] for i in in_play if not math.isnan(values[i])]
    if higher is None or len(set(chosen)) < 2:
        return ()
    best = max(chosen) if higher else min(chosen)
    return tuple(i for i in in_play if values[i] == best)
