"""Where every number was made: machines, versions, sources and the resolved plan."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from harness.report.page import show
from harness.results.run import Run

ABOVE = ("id", "command")  # stand elsewhere on the page


@dataclass(frozen=True)
class Machine:
    """A machine and its software as (what, in words)."""

    id: str
    detectors: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Provenance:
    """Environments in the order in which they were used; `fingerprints` of plan and data."""

    environments: tuple[Machine, ...]
    fingerprints: tuple[tuple[str, str], ...]
    plan: str


def build(run: Run) -> Markup:
    return show("provenance.html", run, provenance=trace(run))


def trace(run: Run) -> Provenance:
    """From environments/ and plan.json."""
    return Provenance(
        tuple(_environment(run, key, value) for key, value in run.environments.items()),
        (
            ("plan", run.plan["fingerprint"]),
            ("data", run.plan["data_fingerprint"]),
            ("annotations", run.truth.sha256 if run.truth else "not there any more"),
        ),
        json.dumps(run.plan, indent=2, ensure_ascii=False),
    )


def _environment(run: Run, key: str, content: Mapping[str, Any]) -> Machine:
    users = dict.fromkeys(r.detector for r in run.records if r.environment == key)
    facts = [(name.replace("_", " "), in_words(value)) for name, value in content.items()]
    shown = tuple((name, words) for name, words in facts if name not in ABOVE and words)
    return Machine(key, ", ".join(users), shown)


def in_words(value: Any) -> str:
    """Nested values in one line; "" where there is nothing."""
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {in_words(v)}" for k, v in value.items() if v not in (None, "", {}))
    if isinstance(value, list | tuple):
        return "; ".join(in_words(entry) for entry in value)
    return "" if value is None else str(value)
