"""Whether one number differs from another by more than its noise."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from harness.results.ap.paired import p_beyond, paired_difference
from harness.results.families import family_of, needs_data
from harness.results.protocol import Mismatch, mismatches
from harness.results.samples.medians import SMALLEST_EFFECT, compare_latency
from harness.results.samples.percentiles import percentile, percentile_interval
from harness.results.types import Change, Figure, Verdict
from harness.results.validity_rules import percent_of

# Counted, not measured: counted again they are the same.
EXACT = ("macs", "activations", "parameters")
TOO_FEW = "too few samples for an interval"


def find_change(
    base: Figure | None,
    other: Figure | None,
    *,
    same_detector: bool,
    allow_mismatch: bool = False,
    smallest_effect: float = SMALLEST_EFFECT,
) -> Change:
    """Compare two figures of one metric.

    Args:
        same_detector: whether both are of a detector of one name.
        allow_mismatch: compare though they were not measured alike; the mismatches stay noted.
        smallest_effect: relative difference of times that is too small to matter.
    """
    if base is None or other is None or math.isnan(base.value) or math.isnan(other.value):
        return Change("missing")
    if invalid := _why_invalid(base, other):
        return Change("invalid", note=invalid)
    differing = mismatches(
        base.metric, base.conditions, other.conditions, same_detector=same_detector
    )
    differing = (*differing, *_mixed(base, "base"), *_mixed(other, "other"))
    if base.unit != other.unit:
        note = f"units differ: {base.unit or 'none'} against {other.unit or 'none'}"
        return Change("refused", mismatches=differing, note=note)
    if differing and not allow_mismatch:
        return Change("refused", mismatches=differing)
    change = _compare(base, other, smallest_effect)
    return Change(**{**vars(change), "mismatches": differing})


def _why_invalid(base: Figure, other: Figure) -> str:
    """Which of the two says nothing of its detector, and why; "" if both can be used."""
    sides = {"base": base, "other": other}
    return "; ".join(
        f"{name}: {', '.join(figure.doubts)}"
        for name, figure in sides.items()
        if figure.level == "invalid"
    )


def _mixed(figure: Figure, who: str) -> Iterator[Mismatch]:
    for found in figure.mixed:
        yield replace(found, name=f"{found.name} of {who}'s seeds")


def _compare(base: Figure, other: Figure, smallest_effect: float) -> Change:
    family = family_of(base.metric)
    if family in EXACT:
        return _exact(base, other)
    if needs_data(base.metric) and base.analyses and other.analyses:
        return _paired(base, other)
    if family == "latency" and percent_of(base.metric) is None:
        return _unknown(base, other, "no test is known of such a number")
    if base.samples and other.samples:
        return _timed(base, other, smallest_effect)
    if needs_data(base.metric):
        return _unknown(base, other, f"the detections of {_unread(base, other)} cannot be read")
    return _unknown(base, other, "no samples")


def _unread(base: Figure, other: Figure) -> str:
    if base.analyses or other.analyses:
        return "other" if base.analyses else "base"
    return "both sides"


def _exact(base: Figure, other: Figure) -> Change:
    if math.isclose(base.value, other.value, rel_tol=1e-12):
        return _change("equal", base, other.value, base.value, other.value)
    return _change(_direction(base, other.value > base.value), base, other.value, *_same(other))


def _paired(base: Figure, other: Figure) -> Change:
    try:
        found = paired_difference(base.analyses, other.analyses, base.metric)
    except ValueError as error:
        return _unknown(base, other, str(error))
    if math.isnan(found.low):
        return _unknown(base, other, "too few images hold such objects for an interval")
    verdict = _direction(base, found.value > 0) if found.outside else "noise"
    beyond = found.low > 0 or found.high < 0
    note = "the seeds' ranges overlap" if beyond and not found.outside else ""
    return Change(
        verdict, found.value, _ratio(base.value, other.value), found.low, found.high, found.p,
        note=note, p_is_limit=not math.isnan(p_beyond(base.analyses, other.analyses, found)),
    )  # fmt: skip


def _timed(base: Figure, other: Figure, smallest_effect: float) -> Change:
    percent = percent_of(base.metric)
    if min(*base.samples, *other.samples) <= 0:
        return _unknown(base, other, "a sample is not positive: the clock is wrong")
    if percent is not None and percent != 50:
        return _percentiles(base, other, percent, smallest_effect)
    found = compare_latency(base.samples, other.samples, smallest_effect)
    if math.isnan(found.low):
        return _unknown(base, other, TOO_FEW)
    pooled = (found.ratio, found.low, found.high)
    return _scaled(base, other, pooled, smallest_effect, found.outside, found.p)


def _percentiles(base: Figure, other: Figure, percent: float, smallest_effect: float) -> Change:
    """As medians are compared, on the interval alone; there is no rank test of a p90."""
    logs = [_log_interval(figure.samples, percent) for figure in (base, other)]
    if any(math.isnan(value) for log in logs for value in log):
        return _unknown(base, other, f"too few samples to bound a p{percent:g}")
    (low_1, middle_1, high_1), (low_2, middle_2, high_2) = logs
    middle = middle_2 - middle_1
    low = math.exp(middle - math.hypot(middle_2 - low_2, high_1 - middle_1))
    high = math.exp(middle + math.hypot(high_2 - middle_2, middle_1 - low_1))
    pooled = (math.exp(middle), low, high)
    return _scaled(base, other, pooled, smallest_effect, _beyond(low, high, smallest_effect))


def _scaled(
    base: Figure,
    other: Figure,
    pooled: tuple[float, float, float],
    smallest_effect: float,
    outside: bool,
    p: float = math.nan,
) -> Change:
    """Around the ratio of the values shown, which are means over seeds of each seed's percentile.

    The interval is that of all seeds' samples taken together, where steps between seeds count
    as autocorrelation and widen it; it is moved onto that ratio by a factor, which is 1 for a
    single seed. A difference is real only if both say so, and the same way.

    Args:
        pooled: ratio of the percentiles of all samples, and its interval.
        outside: whether those are outside the noise.
    """
    shown = other.value / base.value
    factor = shown / pooled[0]
    low, high = factor * pooled[1], factor * pooled[2]
    agreed = (shown > 1) == (pooled[0] > 1) and _beyond(low, high, smallest_effect)
    verdict = _direction(base, shown > 1) if outside and agreed else "noise"
    return _change(verdict, base, other.value, base.value * low, base.value * high, p=p)


def _beyond(low: float, high: float, smallest_effect: float) -> bool:
    return low > 1 + smallest_effect or high < 1 / (1 + smallest_effect)


def _log_interval(samples: Sequence[float], percent: float) -> tuple[float, float, float]:
    low, high = percentile_interval(samples, percent)
    logarithm: Callable[[float], float] = math.log
    return logarithm(low), logarithm(percentile(samples, percent)), logarithm(high)


def _unknown(base: Figure, other: Figure, note: str) -> Change:
    return _change("unknown", base, other.value, math.nan, math.nan, note=note)


def _change(
    verdict: Verdict,
    base: Figure,
    other: float,
    low: float,
    high: float,
    *,
    p: float = math.nan,
    note: str = "",
) -> Change:
    """Of the other's value and the bounds that it would have with the base held fast."""
    change = other - base.value
    ratio = _ratio(base.value, other)
    return Change(verdict, change, ratio, low - base.value, high - base.value, p, note=note)


def _same(figure: Figure) -> tuple[float, float]:
    return figure.value, figure.value


def _ratio(base: float, other: float) -> float:
    return other / base if base else math.nan


def _direction(figure: Figure, higher: bool) -> Verdict:
    if figure.higher_is_better is None:
        return "changed"
    return "better" if higher == figure.higher_is_better else "worse"
