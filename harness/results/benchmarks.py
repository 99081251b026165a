"""pytest-benchmark's JSON as a side: each benchmark a row, its rounds the samples.

Format: https://pytest-benchmark.readthedocs.io/en/latest/usage.html, `--benchmark-json`.
"""

import json
import math
import statistics
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.plugin.catalog import Catalog
from harness.plugin.metrics import MetricSpec
from harness.results.estimate import Estimate
from harness.results.run import known_metrics
from harness.results.samples.percentiles import percentile_interval
from harness.results.sides import Side

TIME = MetricSpec(
    "time", "time", "ms", digits=3, better="lower", kind="time", interval="samples", percent=50,
    protocol=(
        "processor", "cores", "architecture", "system", "interpreter", "python", "timer",
        "disable_gc",
    ),
)  # fmt: skip


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
        estimates = {
            b["fullname"]: {TIME.name: _estimate(b, machine)} for b in content["benchmarks"]
        }
    except (KeyError, TypeError, ValueError) as error:
        found = f"has a benchmark that cannot be read ({error!r})"
        raise UserError(found, where=path, hint=hint) from error
    without = [name for name, found in estimates.items() if not found[TIME.name].samples]
    notes = [f"{path}: rounds were not saved of {name}" for name in without]
    commit = content.get("commit_info") or {}
    return Side(
        name=path.stem,
        path=str(path),
        estimates=estimates,
        columns=(TIME.name,),
        notes=tuple(notes),
        time=_time(content.get("datetime")),
        commit=str(commit.get("id") or "")[:9] + "+" * bool(commit.get("dirty")),
        catalog=known_metrics().joined(Catalog.of([TIME])),
    )


def _estimate(benchmark: Mapping[str, Any], machine: Mapping[str, Any]) -> Estimate:
    stats = benchmark["stats"]
    samples = tuple(1000 * float(sample) for sample in stats.get("data") or ())
    # the number is the median of its samples, as the test of differences takes it
    median = statistics.median(samples) if samples else 1000 * float(stats["median"])
    options = benchmark.get("options") or {}
    own = {key: options[key] for key in ("timer", "disable_gc") if key in options}
    low, high = percentile_interval(samples, 50) if samples else (math.nan, math.nan)
    return Estimate(
        TIME, median, low, high, seeds={0: median}, samples=samples, conditions={**machine, **own}
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
    return datetime.fromisoformat(text).timestamp() if text else math.nan
