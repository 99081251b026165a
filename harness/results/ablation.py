"""What the detectors of a run differ in, and what each difference by itself is worth.

A part counts as one difference, whatever its parameters, if the plugins differ; if the plugin is
the same, each parameter counts as one, and so does each setting of input and training.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from harness.results.run import Json, Run

NOTHING = "–"
UNIMPORTANT = frozenset(  # they change no weight
    {"workers", "cache_gib", "log_every", "evaluate_every", "evaluate_images"}
)
Aspects = Mapping[str, str]  # what -> how it is chosen
_NONE: tuple[str, Aspects] = ("", {})


@dataclass(frozen=True)
class Change:
    """One thing that is otherwise in another detector.

    Attributes:
        what: "neck", "neck groups", "input size", "train optimizer lr".
        before, after: how it is chosen.
    """

    what: str
    before: str
    after: str

    @property
    def turned(self) -> "Change":
        return Change(self.what, self.after, self.before)


@dataclass(frozen=True)
class Ablation:
    """Two detectors that differ in one thing alone."""

    base: str
    other: str
    change: Change


def single_changes(run: Run) -> list[Ablation]:
    """Pairs that differ in one thing, grouped by what it is and told in one direction.

    It is that of the first such pair, whose base is the earlier one of the suite.
    """
    known = built_detectors(run)
    found: dict[Change, list[Ablation]] = {}
    for base, other in combinations(known, 2):
        changed = changes(known[base], known[other])
        if len(changed) != 1:
            continue
        [change] = changed
        if change.turned in found:
            base, other, change = other, base, change.turned
        found.setdefault(change, []).append(Ablation(base, other, change))
    return [one for own in found.values() for one in own]


def changes(base: Json, other: Json) -> list[Change]:
    """Everything in which one detector of a plan differs from another."""
    one, two = list(_sides(base)), list(_sides(other))
    names = dict.fromkeys([name for name, _, _ in (*one, *two)])
    before, after = ({name: (use, rest) for name, use, rest in side} for side in (one, two))
    found: list[Change] = []
    for name in names:
        (use, rest), (other_use, other_rest) = before.get(name, _NONE), after.get(name, _NONE)
        if use != other_use:
            found.append(Change(name, use or NOTHING, other_use or NOTHING))
            continue
        for key in dict.fromkeys([*rest, *other_rest]):
            values = rest.get(key, NOTHING), other_rest.get(key, NOTHING)
            if values[0] != values[1]:
                found.append(Change(f"{name} {key}", *values))
    return found


def differing(run: Run) -> dict[str, list[str]]:
    """What -> how each detector has it, of all that is not the same everywhere.

    Files of detections are left out.
    """
    known = built_detectors(run)
    chosen = [_aspects(detector) for detector in known.values()]
    names = dict.fromkeys(name for aspects in chosen for name in aspects)
    table = {name: [aspects.get(name, NOTHING) for aspects in chosen] for name in names}
    return {name: values for name, values in table.items() if len(set(values)) > 1}


def built_detectors(run: Run) -> dict[str, Json]:
    """Those of the plan that are built from parts, in its order; `differing` has them as columns.

    Of a file of detections nothing but its path is known.
    """
    return {name: d for name, d in run.plan["detectors"].items() if d and d.get("parts")}


def _sides(detector: Json) -> Iterator[tuple[str, str, Aspects]]:
    """(thing, plugin or "", its parameters or settings)."""
    for role, part in detector["parts"].items():
        yield role, str(part["use"]), _flat(part["params"])
    if "detector" not in detector["parts"]:  # a whole one decides itself
        yield "input", "", _flat(detector.get("input") or {})
    yield "recipe", str((detector.get("recipe") or {}).get("use", "")), {}
    train = detector.get("train") or {}
    chosen = {k: v for k, v in train.items() if isinstance(v, Mapping) and "use" in v}
    for key, part in chosen.items():
        yield key, str(part["use"]), _flat(part["params"])
    yield "train", "", _flat({k: v for k, v in train.items() if k not in {*chosen, *UNIMPORTANT}})
    for key in ("checkpoint", "backbone_checkpoint"):
        if detector.get(key):
            yield key.replace("_", " "), str(detector[key]), {}


def _aspects(detector: Json) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, use, rest in _sides(detector):
        if use:
            found[name] = use
        found |= {f"{name} {key}": value for key, value in rest.items()}
    return found


def _flat(settings: Mapping[str, Any], outer: str = "") -> dict[str, str]:
    """Setting -> value as text; settings within settings by both names."""
    found: dict[str, str] = {}
    for key, value in settings.items():
        name = f"{outer} {key}".lstrip()
        if isinstance(value, Mapping):
            found |= _flat(value, name)
        elif value is not None:
            found[name] = _text(value)
    return found


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        rest = {key: one for key, one in value.items() if key not in ("use", "plugin", "params")}
        own = ", ".join(f"{k} {_text(v)}" for k, v in {**rest, **value.get("params", {})}.items())
        return f"{value.get('use', '')} ({own})" if own else str(value.get("use", ""))
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_text(one) for one in value) or "none"
    return str(value)
