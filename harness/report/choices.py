"""The best detector within limits, in words: for `harness choose`, and for the page's script."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.report.format import WORDS, amount, interval, listing, with_unit
from harness.results.choosing import (
    Choice,
    Limit,
    differences_behind,
    limitable,
    ranked_by_score,
)
from harness.results.difference import Difference, Verdict
from harness.results.estimate import Estimate
from harness.results.run import Run

# The best compared with others, whose names replace {}.
SAID: Mapping[Verdict, str] = {
    "better": "Significantly better than {}.",
    "worse": "Not significantly different from {}.",
    "noise": "Not significantly different from {}.",
    "equal": "The same as {}.",
    "unknown": "Whether that differs significantly from {} is unknown.",
}
NEAR = "Its {title} may miss the limit: its interval is {interval}."


def comparison(found: Difference) -> str:
    """The best compared with another detector: a sentence whose {} is the other's name."""
    why = "; ".join(map(str, found.mismatches)) or WORDS[found.verdict]
    return SAID.get(found.verdict, f"Not comparable with {{}}: {why}.")


def compared(rivals: Iterable[tuple[str, Difference]]) -> Iterator[str]:
    """The best compared with others by name, those of one verdict in one sentence."""
    groups: dict[str, list[str]] = {}
    for name, found in rivals:
        groups.setdefault(comparison(found), []).append(name)
    for sentence, names in groups.items():
        yield sentence.replace("{}", listing(names))


def describe_choice(run: Run, choice: Choice, limits: Sequence[Limit]) -> str:
    """One line: what fits best and how sure that is, or why nothing does."""
    if not choice.order:
        reasons = [_why(run, name, missed) for name, missed in choice.misses.items()]
        return f"nothing fits: {'; '.join(reasons)}"
    best = choice.order[0]
    score = best.metric
    told = [f"{score.title} {with_unit(score, best.value)} {interval(best)}".strip()]
    for limit in limits:
        found = run.estimate(best.detector, limit.metric.name)
        told.append(f"{limit.metric.title} {with_unit(limit.metric, found.value)}")
    names = [one.detector for one in choice.order[1:]]
    sentences = list(compared(zip(names, choice.differences, strict=True)))
    if not choice.order[1:]:
        sentences.append("Nothing else fits." if choice.misses else "There is nothing else.")
    for limit in choice.near:
        shown = interval(run.estimate(best.detector, limit.metric.name))
        sentences.append(NEAR.format(title=limit.metric.title, interval=shown))
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
    ranking = ranked_by_score(run) if run.ranked("score") else None
    offered = limitable(run)
    if ranking is None or len(ranking.order) < 2 or not offered:
        return None
    score = ranking.metric
    return {
        "score": score.title,
        "limits": [
            {"name": spec.name, "title": spec.title, "unit": spec.shown_unit, "upper": upper,
             "range": _range([run.estimate(e.detector, spec.name) for e in ranking.order])}
            for spec, upper in offered
        ],
        "near": NEAR,
        "detectors": [
            {
                "name": found.detector,
                "shown": f"{with_unit(score, found.value)} {interval(found)}".strip(),
                "values": {
                    spec.name: _value(run.estimate(found.detector, spec.name))
                    for spec, _ in offered
                },
                "behind": {
                    other: comparison(difference)
                    for other, difference in differences_behind(run, ranking, place).items()
                },
            }
            for place, found in enumerate(ranking.order)
        ],
    }  # fmt: skip


def _range(found: Sequence[Estimate]) -> str:
    """The smallest to the largest, as a hint of what a limit may be."""
    usable = sorted((one for one in found if one.is_usable), key=lambda one: one.value)
    if not usable:
        return ""
    low, high = (amount(one.metric, one.value) for one in (usable[0], usable[-1]))
    return f"{low} to {high}"


def _value(found: Estimate) -> dict[str, Any] | None:
    """In the unit that is shown; with its interval where it has one."""
    if not found.is_usable:
        return None
    scale = found.metric.scale
    ends = [found.low * scale, found.high * scale] if found.has_interval else None
    return {"value": found.value * scale, "ends": ends, "interval": interval(found)}
