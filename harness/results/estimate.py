"""A metric of a detector with both its errors: over images or samples, and over seeds.

Made once, here, for terminal, page, `compare`, gates, history, export and claims. Over seeds the
value is the mean of those that have a number. Its interval is that of the seeds' mean: of scores by
resampling the images that all seeds were evaluated on; of percentiles that of all seeds' samples
taken together, where steps between seeds count as autocorrelation and widen it, moved onto the mean
by a factor, which is 1 for a single seed.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.plugin.metrics import Finding, MetricSpec
from harness.records.record import Record
from harness.results.ap.bootstrap import draw_weights
from harness.results.ap.paired import over_seeds
from harness.results.ap.types import Sampled
from harness.results.protocol import Mismatch, find_mixed
from harness.results.samples.percentiles import NO_INTERVAL, percentile, percentile_interval
from harness.results.validity import Judgement, Validity, judge, samples_behind

RESAMPLES = 1000  # of metrics that are means over images


@dataclass(frozen=True, eq=False)
class Estimate:
    """One metric of one detector, of the whole or of a part (a class, a role, a mode).

    Attributes:
        metric: what it is.
        value: mean over the seeds that have a number, NaN if none has.
        low, high: its 95 % interval, NaN where none is known.
        spread: standard deviation over seeds, NaN for one.
        seeds: seed -> value, in the order of seeds; NaN where nothing could be measured.
        samples: raw samples behind it, of all seeds one after another.
        sampled: of a score, the value of each seed in each resample; empty where the detections
            could not be scored again.
        pairing: of `sampled`: two scores are paired where this is equal, "" without.
        conditions: as recorded with the first seed.
        mixed: on what the other seeds' protocols differ from the first's.
        level: how far it can be believed, of the seeds' the worst.
        reasons: why it is not valid, the gravest first.
        remarks: what casts no doubt.
        detector, scope: of what it is.
    """

    metric: MetricSpec
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    spread: float = math.nan
    seeds: Mapping[int, float] = field(default_factory=dict)
    samples: tuple[float, ...] = ()
    sampled: tuple[Sampled, ...] = ()
    pairing: str = ""
    conditions: Mapping[str, Any] = field(default_factory=dict)
    mixed: tuple[Mismatch, ...] = ()
    level: Validity = "valid"
    reasons: tuple[Finding, ...] = ()
    remarks: tuple[Finding, ...] = ()
    detector: str = ""
    scope: str = ""

    @property
    def is_there(self) -> bool:
        return not math.isnan(self.value)

    @property
    def is_usable(self) -> bool:
        """Whether it says something about its detector."""
        return self.is_there and self.level != "invalid"

    @property
    def worth(self) -> float:
        """The lower the better; infinite of what is not usable."""
        if not self.is_usable:
            return math.inf
        return -self.value if self.metric.higher_is_better else self.value

    @property
    def is_below_floor(self) -> bool:
        """Whether it is below what any learning gives."""
        return self.metric.floor != 0 and self.value < self.metric.floor

    @property
    def has_interval(self) -> bool:
        """Of some width: what is exact has none to show."""
        return self.low < self.high

    @property
    def of_weights(self) -> "Estimate":
        """For the difference to another number of the very weights of each seed.

        The spread over seeds, which both share, is not part of its noise.
        """
        return replace(self, sampled=(over_seeds(self.sampled),)) if self.sampled else self

    @property
    def count(self) -> int:
        """Seeds that have a number."""
        return sum(not math.isnan(value) for value in self.seeds.values())


def below_floor(estimates: Iterable[Estimate]) -> Finding | None:
    """Why a detector with these numbers competes in nothing: one is below its floor."""
    for found in estimates:
        if found.is_below_floor:
            spec = found.metric
            value = f"{found.value * spec.scale:.{spec.digits}f}"
            told = {"score": spec.title, "value": value, "unit": spec.shown_unit}
            return Finding("below_floor", params=told)
    return None


def make_estimate(
    spec: MetricSpec,
    records: Sequence[Record],
    behind: Sequence[Record] = (),
    sampled: Mapping[int, tuple[str, Sampled]] | None = None,
) -> Estimate:
    """The estimate of one metric, detector and scope.

    Args:
        records: its measurements, one per seed.
        behind: records of the same cells, for the samples that stand on another metric's.
        sampled: seed -> (pairing, value in each resample), of those that could be scored again.
    """
    chosen = sorted(records, key=lambda record: record.seed)
    if not chosen:
        return Estimate(spec)
    seeds = {record.seed: record.value for record in chosen}
    there = [value for value in seeds.values() if not math.isnan(value)]
    value = float(np.mean(there)) if there else math.nan
    parts = [samples_behind(record, spec, behind) for record in chosen]
    samples = tuple(x for part in parts for x in part)
    pairing, again = _scored_again(spec, chosen, sampled or {})
    low, high = _interval(spec, value, samples, again)
    judged = _judge(spec, chosen, parts)
    return Estimate(
        metric=spec,
        value=value,
        low=low,
        high=high,
        spread=float(np.std(there, ddof=1)) if len(there) > 1 else math.nan,
        seeds=seeds,
        samples=samples,
        sampled=again,
        pairing=pairing,
        conditions=chosen[0].conditions,
        mixed=find_mixed(spec, [r.conditions for r in chosen if not math.isnan(r.value)]),
        detector=chosen[0].detector,
        scope=chosen[0].scope,
        **vars(judged),
    )


def _scored_again(
    spec: MetricSpec, records: Sequence[Record], sampled: Mapping[int, tuple[str, Sampled]]
) -> tuple[str, tuple[Sampled, ...]]:
    """Of every seed that has a number, on the same images; else of none.

    An interval of fewer seeds than the mean's would belong to another number.
    """
    if spec.interval != "bootstrap":
        return "", ()
    if spec.scoring is None:
        sampled = {r.seed: made for r in records if (made := _of_images(r)) is not None}
    there = [record.seed for record in records if not math.isnan(record.value)]
    if not there or any(seed not in sampled for seed in there):
        return "", ()
    pairings = {sampled[seed][0] for seed in there}
    if len(pairings) > 1:
        return "", ()
    return pairings.pop(), tuple(sampled[seed][1] for seed in there)


def _of_images(record: Record) -> tuple[str, Sampled] | None:
    """Of a mean over images whose values are the samples, resampled as scores are."""
    values = np.asarray(record.samples, dtype=np.float64)
    images = len(values)
    if images < 2 or np.isnan(values).any():
        return None
    draws = draw_weights(images, RESAMPLES, 0) @ values / images
    data = str(record.conditions.get("annotations_sha256", ""))
    return f"{images} images {data}", Sampled(float(values.mean()), draws, images, images)


def _interval(
    spec: MetricSpec, value: float, samples: Sequence[float], sampled: Sequence[Sampled]
) -> tuple[float, float]:
    if math.isnan(value):
        return NO_INTERVAL
    if spec.interval == "exact":
        return value, value
    if sampled:
        mean = over_seeds(sampled)
        return mean.interval if spec.kind == "score" else mean.unclipped
    if spec.interval == "samples" and spec.percent is not None and samples:
        middle = percentile(samples, spec.percent)
        low, high = percentile_interval(samples, spec.percent)
        factor = value / middle if middle else math.nan
        return factor * low, factor * high
    return NO_INTERVAL


def _judge(
    spec: MetricSpec, records: Sequence[Record], samples: Sequence[Sequence[float]]
) -> Judgement:
    """The worst judgement on the seeds and all reasons, the gravest first."""
    absent = [math.isnan(record.value) for record in records]
    findings: list[Finding] = []
    for record, nan, behind in zip(records, absent, samples, strict=True):
        if nan and not all(absent):  # a mean over the other seeds is still one, of fewer
            findings.append(Finding("seed_without_number", params={"seed": record.seed}))
            continue
        judged = judge(record, spec, behind)
        findings += [*judged.reasons, *judged.remarks]
    return Judgement.of(findings)
