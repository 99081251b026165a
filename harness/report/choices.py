"""The best detector within limits, in words: for `harness choose`, and for the page's script."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.plugin.metrics import MetricSpec
from harness.report.format import interval, listing, with_unit
from harness.results.choosing import Choice, Limit, limitable
from harness.results.difference import Verdict
from harness.results.ranking import below_floor
from harness.results.run import Run

# The best to another: verdict -> a sentence of which {} is the others.
SAID: Mapping[Verdict, str] = {
    "better": "Significantly better than {}.",
    "worse": "Not significantly different from {}.",
    "noise": "Not significantly different from {}.",
    "equal": "The same as {}.",
    "unknown": "Whether it differs significantly from {} is unknown.",
}
NOT_COMPARED = "Not comparable with {}."


def describe_choice(run: Run, choice: Choice, limits: Sequence[Limit]) -> str:
    """One line: what fits best and how sure that is, or why nothing does."""
    if not choice.order:
        reasons = [_why(run, name, missed) for name, missed in choice.misses.items()]
        return f"nothing fits: {'; '.join(reasons)}"
    best = choice.order[0]
    told = [f"{choice.score.title} {with_unit(choice.score, best.value)} {interval(best)}".strip()]
    for limit in limits:
        found = run.estimate(best.detector, limit.metric.name)
        told.append(f"{limit.metric.title} {with_unit(limit.metric, found.value)}")
    groups: dict[str, list[str]] = {}
    for other, difference in zip(choice.order[1:], choice.differences, strict=True):
        said = SAID.get(difference.verdict, NOT_COMPARED)
        groups.setdefault(said, []).append(other.detector)
    sentences = [said.format(listing(names)) for said, names in groups.items()]
    sentences += [
        f"Its {limit.metric.title} is not surely within the limit: "
        f"{interval(run.estimate(best.detector, limit.metric.name))}."
        for limit in choice.near
    ]
    if not choice.order[1:]:
        sentences.append("Nothing else fits." if choice.misses else "There is nothing else.")
    return f"{best.detector}: {', '.join(dict.fromkeys(told))}. {' '.join(sentences)}"


def _why(run: Run, name: str, missed: Limit | None) -> str:
    if missed is None:
        return f"{name} has no usable score"
    found = run.estimate(name, missed.metric.name)
    if not found.is_usable:
        return f"{name} has no usable {missed.metric.title}"
    sign = ">" if missed.upper else "<"
    shown = with_unit(missed.metric, found.value)
    return f"{name} {missed.metric.title} {shown} {sign} {missed.bound:g}"


def as_data(run: Run) -> dict[str, Any] | None:
    """What the page's script chooses from, None where there is nothing to choose."""
    scores = run.ranked("score")
    offered = limitable(run)
    if not scores or not offered:
        return None
    score = scores[0]
    known = {name: run.estimate(name, score.name) for name in run.detectors}
    usable = [n for n, e in known.items() if e.is_usable and below_floor(run, n) is None]
    if len(usable) < 2:
        return None
    usable.sort(key=lambda name: known[name].value, reverse=bool(score.higher_is_better))
    return {
        "score": score.title,
        "limits": [_field(run, spec, upper, usable) for spec, upper in offered],
        "detectors": [
            {
                "name": name,
                "shown": f"{with_unit(score, known[name].value)} {interval(known[name])}".strip(),
                "values": {spec.name: _value(run, name, spec) for spec, _ in offered},
                "behind": {other: _said(run, name, other, score) for other in usable[place + 1 :]},
            }
            for place, name in enumerate(usable)
        ],
    }


def _field(run: Run, spec: MetricSpec, upper: bool, names: Sequence[str]) -> dict[str, Any]:
    values = [v for name in names if (v := _value(run, name, spec)) is not None]
    return {
        "name": spec.name,
        "title": spec.title,
        "unit": spec.shown_unit,
        "upper": upper,
        "range": [min(values), max(values)],
    }


def _value(run: Run, name: str, spec: MetricSpec) -> float | None:
    found = run.estimate(name, spec.name)
    return round(found.value * spec.scale, spec.digits + 2) if found.is_usable else None


def _said(run: Run, best: str, other: str, score: MetricSpec) -> str:
    return SAID.get(run.difference(other, best, score.name).verdict, NOT_COMPARED)
