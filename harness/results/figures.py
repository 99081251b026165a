"""The figures of one detector from its records, each judged."""

import math
from collections.abc import Sequence

from harness.records.record import Record
from harness.results.ap.types import CellAnalysis
from harness.results.families import family_of, needs_data
from harness.results.protocol import find_mixed
from harness.results.types import Figure
from harness.results.validity import LEVELS, Verdict, judge, samples_behind
from harness.results.validity_rules import Level, percent_of


def make_figures(
    records: Sequence[Record], analyses: tuple[CellAnalysis, ...]
) -> dict[str, Figure]:
    """Figures by metric.

    Args:
        records: measurements of one detector as a whole, of all its seeds.
        analyses: of its detections, one per seed; empty where they cannot be read.
    """
    return {
        metric: _figure([r for r in records if r.metric == metric], records, analyses)
        for metric in dict.fromkeys(r.metric for r in records)
    }


def _figure(
    chosen: Sequence[Record], records: Sequence[Record], analyses: tuple[CellAnalysis, ...]
) -> Figure:
    """Records of one detector and metric, in the order of seeds."""
    chosen = sorted(chosen, key=lambda r: r.seed)
    first = chosen[0]
    samples: tuple[float, ...] = ()
    if family_of(first.metric) == "latency" and percent_of(first.metric) is not None:
        samples = tuple(x for r in chosen for x in samples_behind(r, records))
    whole = needs_data(first.metric) and len(analyses) == len(chosen)
    level, doubts = _judge(chosen, records)
    return Figure(
        metric=first.metric,
        unit=first.unit,
        higher_is_better=first.higher_is_better,
        seeds=tuple(r.value for r in chosen),
        samples=samples,
        conditions=first.conditions,
        analyses=analyses if whole else (),
        level=level,
        doubts=doubts,
        mixed=find_mixed(first.metric, [r.conditions for r in chosen if not math.isnan(r.value)]),
    )


def _judge(chosen: Sequence[Record], records: Sequence[Record]) -> tuple[Level, tuple[str, ...]]:
    """The worst verdict on the seeds and all reasons, the worst first."""
    verdicts = [judge(record, samples_behind(record, records)) for record in chosen]
    # a mean over the other seeds is still one, of fewer
    absent = [math.isnan(record.value) for record in chosen]
    if any(absent) and not all(absent):
        verdicts = [
            Verdict("doubtful", (f"seed {record.seed} has no number",)) if nan else verdict
            for record, nan, verdict in zip(chosen, absent, verdicts, strict=True)
        ]
    verdicts.sort(key=lambda verdict: -LEVELS.index(verdict.level))
    reasons = dict.fromkeys(reason for verdict in verdicts for reason in verdict.reasons)
    return verdicts[0].level, tuple(reasons)
