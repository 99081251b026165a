"""What a reader must know of a run's numbers: the same lines in the terminal and on the page."""

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any

from harness.manifest.schema import SUITES_RECIPE
from harness.plan.cells import name_stage
from harness.plugin.catalog import Catalog
from harness.plugin.metrics import Finding
from harness.records.record import Record
from harness.report.format import LEVELS, listing
from harness.results.estimate import Estimate
from harness.results.run import Run
from harness.results.validity import LEVELS as VALIDITY
from harness.results.validity import Validity

MANY = 4  # metrics that a line names
OPTIONAL = re.compile(r"\[(.*?)\]")


@dataclass(frozen=True)
class Warned:
    """A warning with all the numbers that it is of.

    Attributes:
        text: the warning as a clause.
        level: "doubtful", "invalid", or "valid" for what casts no doubt.
        of: "AP and AP-small of a and b", without the detectors where it is of all that have such
            numbers.
    """

    text: str
    level: Validity
    of: str

    def __str__(self) -> str:
        return f"{LEVELS[self.level]} {self.of}: {self.text}".lstrip()


def captions(run: Run, only: Collection[str] | None = None) -> list[str]:
    """On what terms the measured numbers hold, each wording once: of several, with whose it is.

    Args:
        only: metrics that are shown; None: all.
    """
    lines = []
    for spec in run.metrics():
        if spec.caption and (only is None or spec.name in only):
            wordings: dict[str, dict[str, None]] = {}
            for r in run.measured:
                if r.metric == spec.name and not r.scope and not math.isnan(r.value):
                    wordings.setdefault(_filled(spec.caption, r.conditions), {})[r.detector] = None
            several = len(wordings) > 1
            whose = {
                words: f" ({listing(of, most=MANY)})" * several for words, of in wordings.items()
            }
            lines += [f"{words}{of}" for words, of in whose.items()]
    return [*dict.fromkeys(lines), *untrained(run), *recipes(run)]


def untrained(run: Run) -> list[str]:
    """Who has no scores because the manifest gives it no steps and no weights."""
    names = [
        name
        for name, detector in run.plan["detectors"].items()
        if _steps(detector) == 0 and not detector.get("checkpoint")
    ]
    return [f"not trained in this profile: {listing(names)}"] if names else []


def _steps(detector: Mapping[str, Any] | None) -> int | None:
    found: int | None = (detector or {}).get("train", {}).get("steps")
    return found


def recipes(run: Run) -> list[str]:
    """Which recipe each detector was trained by, where not all by the suite's."""
    by: dict[str, list[str]] = {}
    for name, detector in run.plan["detectors"].items():
        if not detector or "train" not in detector or _steps(detector) == 0:
            continue  # it was not trained here
        recipe = detector.get("recipe", {"use": SUITES_RECIPE})
        own = recipe["use"] != SUITES_RECIPE
        told = f"the recipe {recipe['use']} ({recipe['source']})" if own else "the suite's recipe"
        by.setdefault(told, []).append(name)
    if set(by) <= {"the suite's recipe"}:
        return []
    unlike = "; differences between detectors of unlike recipes are not those of their parts alone"
    told = "; ".join(f"{listing(names)} by {recipe}" for recipe, names in by.items())
    return [f"trained: {told}{unlike if len(by) > 1 else ''}"]


def _filled(caption: str, conditions: Mapping[str, Any]) -> str:
    def known(clause: re.Match[str]) -> str:
        names = [name for _, name, _, _ in Formatter().parse(clause[1]) if name]
        return clause[1] if all(name in conditions for name in names) else ""

    return OPTIONAL.sub(known, caption).format_map(_Known(conditions))


def failures(run: Run) -> list[str]:
    """How cells failed, a line each."""
    return [failure(record) for record in run.latest if record.status != "ok"]


def failure(end: Record) -> str:
    """How one cell failed."""
    stage = name_stage(end.stage, end.mode)
    return f"{end.detector} seed {end.seed}, {stage} {end.status}: {end.error}"


def warnings_of(run: Run, metrics: Sequence[str]) -> list[Warned]:
    """What is to be known of these metrics of whole detectors, each once, the gravest first."""
    of = [(name, run.estimate(name, metric)) for metric in metrics for name in run.detectors]
    return gather(run.catalog, of)


def gather(catalog: Catalog, of: Iterable[tuple[str, Estimate]]) -> list[Warned]:
    """Warnings of some numbers, each once with all that it is of, the gravest first.

    Args:
        of: (whose it is, the number).
    """
    found: dict[Finding, list[tuple[str, str]]] = {}  # -> title, who
    having: dict[str, set[str]] = {}  # title -> who
    for who, estimate in of:
        title = estimate.metric.title
        if estimate.seeds:
            having.setdefault(title, set()).add(who)
        for finding in (*estimate.reasons, *estimate.remarks):
            found.setdefault(finding, []).append((title, who))
    return [
        Warned(catalog.word(finding), VALIDITY[finding.gravity], _whose(found[finding], having))
        for finding in catalog.gravest_first(found)
    ]


def _whose(places: Sequence[tuple[str, str]], having: Mapping[str, set[str]]) -> str:
    """`Warned.of`."""
    metrics, names = (dict.fromkeys(column) for column in zip(*places, strict=True))
    all_known = [title for title, who in having.items() if who & names.keys()]
    everyone = set().union(*(having.get(title, ()) for title in metrics))
    which = "" if everyone <= names.keys() else f" of {listing(names, most=4)}"
    many = len(metrics) > MANY and metrics.keys() >= set(all_known)
    return f"{'all numbers' if many else listing(metrics, most=MANY)}{which}"


class _Known(dict[str, object]):
    """A condition that a record does not have is shown as unknown."""

    def __missing__(self, key: str) -> str:
        return f"unknown {key}"
