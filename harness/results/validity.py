"""Whether a measurement can be believed, with the reasons in words."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.records.frame import latest
from harness.records.record import Record
from harness.results import validity_rules as rules
from harness.results.families import family_of
from harness.results.validity_rules import Finding, Level, Samples

Rule = Callable[[Record, Samples], Iterator[Finding]]
LEVELS: tuple[Level, ...] = ("valid", "doubtful", "invalid")

ALWAYS: tuple[Rule, ...] = (rules.failed, rules.without_number, rules.warned, rules.untrained)
SCORES: tuple[Rule, ...] = (
    rules.few_images,
    rules.few_boxes,
    rules.few_object_images,
    rules.nothing_found,
)
TIMES: tuple[Rule, ...] = (
    rules.few_samples,
    rules.impossible_samples,
    rules.unbounded_percentile,
    rules.drifting,
    rules.dependent,
    rules.short_warm_up,
    rules.slow_ops,
    rules.changing_clock,
)
BY_FAMILY: Mapping[str, tuple[Rule, ...]] = {
    "ap": SCORES,
    "ar": SCORES,
    "latency": TIMES,
    "throughput": TIMES,
    "macs": (rules.passed_over,),
    "activations": (rules.passed_over,),
}
BY_METRIC: Mapping[str, tuple[Rule, ...]] = {
    "train_images_per_second": (rules.few_steps,),
    "train_wall_time": (rules.resumed,),
    "train_loader_wait": (rules.long_wait,),
}


@dataclass(frozen=True)
class Verdict:
    """How far a measurement can be believed.

    Attributes:
        level: "invalid": it says nothing of the detector; "doubtful": it may be off by more than
            its interval tells.
        reasons: why not, worst first; empty when valid.
        remarks: what a reader should know and what casts no doubt.
    """

    level: Level
    reasons: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def judge(record: Record, samples: Sequence[float] = ()) -> Verdict:
    """Judge one measurement, or how a cell ended.

    Args:
        samples: raw samples behind a record that has none of its own: p90 and p99 are percentiles
            of those that stand on the p50 record (`samples_behind`). Without them the rules that
            look at samples find nothing.
    """
    given = record.samples or tuple(samples)
    chosen = (
        *ALWAYS,
        *BY_FAMILY.get(family_of(record.metric), ()),
        *BY_METRIC.get(record.metric, ()),
    )
    found = list(dict.fromkeys(finding for rule in chosen for finding in rule(record, given)))
    worst = max((LEVELS.index(level) for level, _ in found), default=0)
    doubts = sorted((f for f in found if f[0] != "valid"), key=lambda f: -LEVELS.index(f[0]))
    return Verdict(
        LEVELS[worst],
        tuple(reason for _, reason in doubts),
        tuple(remark for level, remark in found if level == "valid"),
    )


def judge_all(records: Iterable[Record]) -> list[tuple[Record, Verdict]]:
    """Judge the latest measurements of a run, and its failures, with the samples they rest on."""
    chosen = [r for r in latest(list(records)) if r.kind == "measurement" or r.status != "ok"]
    return [(record, judge(record, samples_behind(record, chosen))) for record in chosen]


def samples_behind(record: Record, records: Iterable[Record]) -> tuple[float, ...]:
    """Raw samples of a latency's percentile or of the throughput; empty for anything else.

    Args:
        records: among them that of the median of the same cell and kind.
    """
    if record.samples or family_of(record.metric) not in ("latency", "throughput"):
        return record.samples
    if record.metric == "throughput":
        wanted = "latency_end_to_end_p50"
    else:
        wanted = f"{record.metric.rpartition('_')[0]}_p50"
    for other in records:
        if other.metric == wanted and _place(other) == _place(record):
            return other.samples
    return ()


def _place(record: Record) -> tuple[str, str, int, str, str]:
    return record.run, record.detector, record.seed, record.stage, record.mode
