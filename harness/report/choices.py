"""The best detector within limits and its mode, in words: for `harness choose` and the page."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.plugin.metrics import MetricSpec
from harness.report.format import WORDS, amount, interval, listing, with_unit
from harness.results.choosing import (
    Choice,
    Groups,
    Limit,
    differences_behind,
    differences_of_modes,
    first_score,
    limitable,
    mode_cost,
    nearest_misses,
    rank_contenders,
)
from harness.results.contenders import Contender, estimate_in, modes_of
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
# The fastest of a detector's modes compared with the others, which replace {}.
SAID_OF_MODES: Mapping[Verdict, str] = {
    "better": "Its {title} is significantly better than in {{}}.",
    "worse": "Its {title} is not significantly different in {{}}.",
    "noise": "Its {title} is not significantly different in {{}}.",
    "equal": "Its {title} is the same in {{}}.",
    "unknown": "Whether its {title} differs significantly in {{}} is unknown.",
}
NEAR = "Its {title} may miss the limit: its interval is {interval}."
ALONE, NOTHING_ELSE = "There is nothing else.", "Nothing else fits."


def comparison(found: Difference) -> str:
    """The best compared with another detector: a sentence whose {} is the other's name."""
    why = found.unlike or WORDS[found.verdict]
    return SAID.get(found.verdict, f"Not comparable with {{}}: {why}.")


def comparison_of_modes(run: Run, found: Difference) -> str:
    """A detector's fastest mode compared with another: a sentence whose {} is the other."""
    cost = mode_cost(run)
    title = cost.title if cost else ""
    why = found.unlike or WORDS[found.verdict]
    said = SAID_OF_MODES.get(found.verdict)
    return said.format(title=title) if said else f"Its {title} in {{}} is not comparable: {why}."


def compared(rivals: Iterable[tuple[str, Difference]]) -> Iterator[str]:
    """The best compared with others by name, those of one verdict in one sentence."""
    return joined((name, comparison(found)) for name, found in rivals)


def joined(said: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Sentences with {} for a name: each once, with all its names."""
    groups: dict[str, list[str]] = {}
    for name, sentence in said:
        groups.setdefault(sentence, []).append(name)
    for sentence, names in groups.items():
        yield sentence.replace("{}", listing(names))


def describe_choice(run: Run, choice: Choice, limits: Sequence[Limit]) -> str:
    """One line: what fits best and how sure that is, or why nothing does."""
    if not choice.order:
        nearest = nearest_misses(run, choice.misses, limits)
        reasons = [_why(run, one, missed) for one, missed in nearest.items()]
        return f"nothing fits: {'; '.join(reasons)}"
    best, score = choice.order[0], first_score(run)
    found = estimate_in(run, best, score.name)
    told = [f"{score.title} {with_unit(score, found.value)} {interval(found)}".strip()]
    for limit in limits:
        if limit.metric == score:
            continue
        found = estimate_in(run, best, limit.metric.name)
        told.append(f"{limit.metric.title} {with_unit(limit.metric, found.value)}")
    slower = ((mode, comparison_of_modes(run, d)) for mode, d in choice.slower.items())
    sentences = [*compared(choice.rivals.items()), *joined(slower)]
    if not choice.order[1:]:
        sentences.append(NOTHING_ELSE if choice.misses else ALONE)
    for limit in choice.near:
        shown = interval(estimate_in(run, best, limit.metric.name))
        sentences.append(NEAR.format(title=limit.metric.title, interval=shown))
    return f"{best.name}: {', '.join(dict.fromkeys(told))}. {' '.join(sentences)}"


def _why(run: Run, one: Contender, missed: Limit | None) -> str:
    if missed is None:
        return f"{one.name} has no usable score"
    found = estimate_in(run, one, missed.metric.name)
    if not found.is_usable:
        return f"{one.name} has no usable {missed.metric.title}"
    sign = ">" if missed.upper else "<"
    shown = with_unit(missed.metric, found.value)
    return f"{one.name} {missed.metric.title} {shown} {sign} {missed.bound:g}"


def as_data(run: Run) -> dict[str, Any] | None:
    """What the page's script chooses from, None where there is nothing to choose."""
    groups = rank_contenders(run) if run.ranked("score") else {}
    ranked = [one for own in groups.values() for one in own]
    offered = [(spec, upper) for spec, upper in limitable(run) if _varies(run, ranked, spec)]
    if len(ranked) < 2 or not offered:
        return None
    score = first_score(run)
    modes = modes_of(run)
    return {
        "score": score.title,
        "limits": [
            {"name": spec.name, "title": spec.title, "unit": spec.shown_unit, "upper": upper,
             "range": _range([estimate_in(run, one, spec.name) for one in ranked])}
            for spec, upper in offered
        ],
        "modes": modes if len(modes) > 1 else [],
        "near": NEAR,
        "alone": ALONE,
        "nothing_else": NOTHING_ELSE,
        "scored": {name: _scored(run, groups, name) for name in groups},
        "contenders": [
            {
                "name": one.name,
                "mode": one.mode,
                "scored_as": one.scored_as,
                "values": {
                    spec.name: _value(estimate_in(run, one, spec.name)) for spec, _ in offered
                },
                "slower": {
                    mode: comparison_of_modes(run, found)
                    for mode, found in differences_of_modes(run, one, own[place + 1 :]).items()
                },
            }
            for own in groups.values()
            for place, one in enumerate(own)
        ],
    }  # fmt: skip


def _scored(run: Run, groups: Groups, name: str) -> dict[str, Any]:
    """A score, and how it compares with those behind it."""
    found = estimate_in(run, groups[name][0], first_score(run).name)
    behind = differences_behind(run, groups, name)
    return {
        "shown": f"{with_unit(found.metric, found.value)} {interval(found)}".strip(),
        "behind": {other: comparison(difference) for other, difference in behind.items()},
    }


def _varies(run: Run, ranked: Iterable[Contender], spec: MetricSpec) -> bool:
    """Whether a limit can tell any from others: not all have the same value."""
    found = (estimate_in(run, one, spec.name) for one in ranked)
    return len({one.value for one in found if one.is_usable}) > 1


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
