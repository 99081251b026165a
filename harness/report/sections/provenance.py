"""Where every number was made: machines, versions, sources and the resolved plan."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from harness.report.page import show
from harness.results.run import Run

ABOVE = ("id", "command")  # stand elsewhere on the page


def build(run: Run) -> Markup:
    """From environments/ and plan.json."""
    return show(
        "provenance.html",
        run,
        environments=[(key, _users(run, key), _facts(e)) for key, e in run.environments.items()],
        fingerprints=(
            ("plan", run.plan["fingerprint"]),
            ("data", run.plan["data_fingerprint"]),
            ("annotations", run.truth.sha256 if run.truth else "no longer there"),
            *_files(run),
        ),
        plan=json.dumps(run.plan, indent=2, ensure_ascii=False),
    )


def _files(run: Run) -> Iterator[tuple[str, str]]:
    """The files of detections that were scored; a file may have changed in between."""
    for name, detector in run.plan["detectors"].items():
        if (detector or {}).get("detections"):
            hashes = dict.fromkeys(r.weights for r in run.measured if r.detector == name)
            yield f"detections of {name}", ", ".join(filter(None, hashes)) or "not scored yet"


def _users(run: Run, environment: str) -> str:
    """Detectors that were measured in it."""
    names = dict.fromkeys(r.detector for r in run.records if r.environment == environment)
    return ", ".join(names)


def _facts(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what, in words)."""
    facts = [(name, in_words(value)) for name, value in content.items() if name not in ABOVE]
    return [(name.replace("_", " "), words) for name, words in facts if words]


def in_words(value: Any) -> str:
    """Nested values in one line; "" where there is nothing."""
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {in_words(v)}" for k, v in value.items() if v not in (None, "", {}))
    if isinstance(value, list | tuple):
        return "; ".join(in_words(entry) for entry in value)
    return "" if value is None else str(value)
