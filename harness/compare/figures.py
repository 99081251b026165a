"""The figures of one detector from its records, each judged."""

import math
from collections.abc import Sequence
from dataclasses import replace

from harness.analysis.families import family_of, needs_data
from harness.analysis.types import CellAnalysis
from harness.analysis.validity import LEVELS, Verdict, judge, samples_behind
from harness.analysis.validity_rules import Level, percent_of
from harness.compare.protocol import find_mixed
from harness.compare.types import Figure
from harness.records.record import Record


def make_figures(
    records: Sequence[Record], analyses: tuple[CellAnalysis, ...]
) -> dict[str, Figure]:
    """Figures by metric; size ranges of the manifest, too, that no record has.

    Args:
        records: measurements of one detector as a whole, of all its seeds.
        analyses: of its detections, one a seed; empty where they cannot be read.
    """
    figures = {}
    for metric in dict.fromkeys(r.metric for r in records):
        figures[metric] = _figure([r for r in records if r.metric == metric], records, analyses)
    if "ap" in figures and analyses and len(analyses) == len(figures["ap"].seeds):
        for metric in analyses[0].metrics:
            if metric not in figures and all(metric in a.metrics for a in analyses):
                own = [r for r in records if r.metric == "ap"]
                figures[metric] = _size_range(figures["ap"], metric, own)
    return figures


def _size_range(ap: Figure, metric: str, records: Sequence[Record]) -> Figure:
    """A size range that no record has, judged by the objects that lie in it."""
    found = [analysis.metrics[metric] for analysis in ap.analyses]
    as_recorded = [
        replace(r, metric=metric, value=e.value, conditions={**r.conditions, "boxes": e.count})
        for r, e in zip(sorted(records, key=lambda r: r.seed), found, strict=True)
    ]
    level, doubts = _judge(as_recorded, records)
    values = tuple(estimate.value for estimate in found)
    return replace(ap, metric=metric, seeds=values, level=level, doubts=doubts)


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
