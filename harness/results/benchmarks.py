"""pytest-benchmark's JSON as a side: each benchmark a row, its rounds the samples.

Format: https://pytest-benchmark.readthedocs.io/en/latest/usage.html, `--benchmark-json`.
"""

import json
import statistics
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.results.types import Figure, Side

METRIC = "time"


def read_benchmarks(path: Path) -> Side:
    """Read the file.

    Raises:
        UserError: it is not such a file.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"cannot be read ({error})", where=path) from error
    hint = "made by: pytest --benchmark-json FILE"
    if not isinstance(content, dict) or not isinstance(content.get("benchmarks"), list):
        raise UserError("is not a pytest-benchmark file", where=path, hint=hint)
    machine = _machine(content.get("machine_info") or {})
    try:
        figures = {b["fullname"]: {METRIC: _figure(b, machine)} for b in content["benchmarks"]}
    except (KeyError, TypeError, ValueError) as error:
        found = f"has a benchmark that cannot be read ({error!r})"
        raise UserError(found, where=path, hint=hint) from error
    without = [name for name, found in figures.items() if not found[METRIC].samples]
    notes = [f"{path}: rounds were not saved of {name}" for name in without]
    commit = content.get("commit_info") or {}
    return Side(
        name=path.stem,
        path=str(path),
        figures=figures,
        columns=(METRIC,),
        notes=tuple(notes),
        time=_time(content.get("datetime")),
        commit=str(commit.get("id") or "")[:9] + "+" * bool(commit.get("dirty")),
    )


def _figure(benchmark: Mapping[str, Any], machine: Mapping[str, Any]) -> Figure:
    stats = benchmark["stats"]
    samples = tuple(map(float, stats.get("data") or ()))
    # a figure is the median of its samples, as the test of differences takes it
    median = statistics.median(samples) if samples else float(stats["median"])
    options = benchmark.get("options") or {}
    own = {key: options[key] for key in ("timer", "disable_gc") if key in options}
    return Figure(
        metric=METRIC,
        unit="ms",
        higher_is_better=False,
        seeds=(1000 * median,),
        samples=tuple(1000 * sample for sample in samples),
        conditions={**machine, **own},
    )


def _machine(info: Mapping[str, Any]) -> dict[str, Any]:
    """What decides a time; the name of the machine and its clock at the moment do not."""
    cpu = info.get("cpu") or {}
    found = {
        "processor": cpu.get("brand_raw") or info.get("processor"),
        "cores": cpu.get("count"),
        "architecture": info.get("machine"),
        "system": info.get("system"),
        "interpreter": info.get("python_implementation"),
        "python": info.get("python_version"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _time(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else float("nan")
