"""How numbers, differences and verdicts are written: the same in every table and on every page.

One sign has one meaning, and each verdict has a sign of its own, so that colour is never needed.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from harness.plugin.metrics import MetricSpec

if TYPE_CHECKING:  # they import scipy, for which `harness list` need not wait
    from harness.results.difference import Difference, Verdict
    from harness.results.estimate import Estimate

DASH = "–"
NBSP = "\u00a0"
MARKS: "Mapping[Verdict, str]" = {
    "better": "▲",
    "worse": "▼",
    "changed": "◆",
    "equal": "=",
    "noise": "≈",
    "unknown": "?",
    "refused": "✗",
    "invalid": "⊘",
    "missing": DASH,
}
WORDS: "Mapping[Verdict, str]" = {
    "better": "significantly better",
    "worse": "significantly worse",
    "changed": "significantly different",
    "equal": "the same",
    "noise": "not significantly different",
    "unknown": "the noise is unknown",
    "refused": "not comparable: measured under other conditions",
    "invalid": "not compared: an invalid measurement",
    "missing": "not measured",
}
DOUBTFUL = "!"
ALLOWED = "≠"  # behind a difference between what was not measured alike
BEST = "*"  # behind a value
# of a value by itself, by its level of validity
LEVELS: Mapping[str, str] = {"valid": "", "doubtful": DOUBTFUL, "invalid": MARKS["invalid"]}

Key = TypeVar("Key", str, int)


def number(value: float, digits: int = 1) -> str:
    """ "1,234.5", a dash where there is none."""
    return DASH if math.isnan(value) else f"{value:,.{digits}f}"


def signed(value: float) -> str:
    """To one digit, with its sign and a true minus; what rounds to zero has none."""
    if math.isnan(value):
        return DASH
    text = f"{value:+,.1f}".replace("-", "−")
    return text if text.strip("+−0.,") else text[1:]


def duration(seconds: float) -> str:
    """ "42 s", "3 min 05 s", "2 h 10 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def amount(spec: MetricSpec, value: float, more: int = 0) -> str:
    """A value of a metric, without its unit; with so many more digits than usual."""
    return number(value * spec.scale, spec.digits + more)


def with_unit(spec: MetricSpec, value: float) -> str:
    """A value of a metric with its unit."""
    return f"{amount(spec, value)} {spec.shown_unit}".rstrip()


def heading(spec: MetricSpec) -> str:
    """ "latency (ms)"."""
    return f"{spec.title} ({spec.shown_unit})" if spec.shown_unit else spec.title


def interval(estimate: "Estimate", more: int = 0) -> str:
    """ "[30.1, 32.5]", "" where there is none; it does not break. `more` is of `amount`."""
    if not estimate.has_interval:
        return ""
    low, high = (amount(estimate.metric, end, more) for end in (estimate.low, estimate.high))
    return f"[{low},{NBSP}{high}]"


def half_width(estimate: "Estimate") -> str:
    """ "±1.2", half the 95 % interval; "" where there is none."""
    if not estimate.has_interval:
        return ""
    return f"±{amount(estimate.metric, (estimate.high - estimate.low) / 2)}"


def level_mark(estimate: "Estimate") -> str:
    """The sign of what casts doubt on a value, or ""."""
    return LEVELS[estimate.level] if estimate.is_there else ""


def units_of_change(spec: MetricSpec, base: float) -> tuple[float, str]:
    """Scale and unit of a difference: points of a score, all else in percent of the base."""
    if spec.shown_unit == "%":
        return spec.scale, ""
    return (100 / base, NBSP + "%") if base else (spec.scale, f"{NBSP}{spec.shown_unit}".rstrip())


def change(spec: MetricSpec, base: float, found: "Difference") -> str:
    """ "+1.2" in points or "+31.0 %" of the base; "" where nothing was compared."""
    if not found.compared or math.isnan(found.value):
        return ""
    scale, unit = units_of_change(spec, base)
    return f"{_change(found.value * scale, unit)}{unit}"


def change_interval(spec: MetricSpec, base: float, found: "Difference") -> str:
    """ "[+0.3, +2.1]" in the same unit, "" where there is none."""
    if not found.compared or not found.has_interval:
        return ""
    scale, unit = units_of_change(spec, base)
    return f"[{_change(found.low * scale, unit)},{NBSP}{_change(found.high * scale, unit)}]"


def change_in_words(spec: MetricSpec, base: float, found: "Difference") -> str:
    """The sign, then the difference and its interval: the cell of every table of differences."""
    mark = MARKS[found.verdict]
    if found.verdict == "missing":
        return mark
    if not found.compared:
        return f"{mark}{NBSP}{found.verdict}"
    if found.verdict == "equal":
        return f"{mark}{NBSP}same"
    allowed = ALLOWED if found.mismatches else ""
    parts = (
        f"{mark}{NBSP}{change(spec, base, found)}{allowed}",
        change_interval(spec, base, found),
    )
    return " ".join(filter(None, parts))


def ratio(found: "Difference") -> str:
    """ "1.31x", "" where there is none."""
    if not found.compared or math.isnan(found.ratio):
        return ""
    return f"{found.ratio:.2f}x" if 0.01 <= found.ratio < 100 else f"{found.ratio:.3g}x"


def probability(p: float, *, is_limit: bool = False) -> str:
    """Three digits at most; what a bootstrap cannot resolve is not pretended.

    Args:
        is_limit: it is the smallest that so many resamples can show.
    """
    if math.isnan(p):
        return ""
    if p < 0.001:
        return "< 0.001"
    digits = f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
    return f"≤ {digits}" if is_limit else digits


def moment(seconds: float) -> str:
    """2026-01-31 18:05 UTC."""
    if math.isnan(seconds):
        return DASH
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def listing(names: Iterable[str], most: int | None = None) -> str:
    """ "a, b and c", of many "a, b, c and 4 more"."""
    found = list(names)
    if most is not None and len(found) > most:
        return f"{', '.join(found[:most])} and {len(found) - most} more"
    return " and ".join(filter(None, [", ".join(found[:-1]), *found[-1:]]))


def best_of(
    values: Mapping[Key, float], spec: MetricSpec, rivals: Collection[Key] | None = None
) -> Key | None:
    """Whose value is marked as the best; nobody's where that would say more than is shown.

    Args:
        values: those that can be compared: there, and not invalid.
        rivals: whose difference from the best may be noise, where that is known; else all others.

    Returns:
        None where fewer than two can be compared, where the metric has no better, and where a
        rival is shown the same.
    """
    if spec.higher_is_better is None or len(values) < 2:
        return None
    choose = max if spec.higher_is_better else min
    best = choose(values, key=lambda key: values[key])
    others = values.keys() - {best} if rivals is None else set(rivals)
    shown = amount(spec, values[best])
    return None if any(amount(spec, values[other]) == shown for other in others) else best


def _change(value: float, unit: str) -> str:
    small = unit.strip() == "%" and 0 < abs(value) < 0.05
    return f"{value:+.2g}".replace("-", "−") if small else signed(value)
