"""Results in a table: a run's results.csv, an export, or less, with detector, metric and value."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import UserError
from harness.results import export
from harness.results.families import family_of, needs_data
from harness.results.protocol import find_mixed
from harness.results.types import OF_STAGES, Figure, Side, name_subject

# Where a table does not say which way is better.
BETTER: Mapping[str, bool] = {
    "ap": True,
    "ar": True,
    "throughput": True,
    "latency": False,
    "memory": False,
    "macs": False,
    "activations": False,
    "parameters": False,
}


def read_table(path: Path) -> Side:
    """Read a CSV, Parquet or SQLite file; columns that it lacks are unknown.

    Raises:
        UserError: it cannot be read, lacks a column, holds several runs, or a value that is not a
            number.
    """
    frame = _as_text(path)
    runs = dict.fromkeys(filter(None, frame["run"])) if "run" in frame.columns else {}
    if len(runs) > 1:
        found = f"holds {len(runs)} runs: {', '.join(runs)}"
        raise UserError(found, where=path, hint="compare the runs' folders, or export one of them")
    rows = [
        (number, {str(key): str(value) for key, value in row.items()})
        for number, row in enumerate(frame.to_dict("records"), 2)
    ]
    figures: dict[str, dict[str, Figure]] = {}
    for number, row in rows:
        name = name_subject(row["detector"], row.get("scope", ""))
        if row["metric"] and row["metric"] not in OF_STAGES and name is not None:
            _add(figures.setdefault(name, {}), row, f"{path}:{number}")
    notes = [f"{path}: a table keeps neither samples nor detections, so the noise is unknown"]
    if not any(row.get("conditions") for _, row in rows):
        notes.append(f"{path}: it does not say under which conditions its numbers were measured")
    return Side(name=path.stem, path=str(path), figures=figures, notes=tuple(notes))


def _as_text(path: Path) -> pd.DataFrame:
    """Every cell as a CSV has it."""
    if path.suffix != ".csv":
        table = export.read_table(path)
        return table.astype(object).where(table.notna(), "").map(str)
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot be read ({error})", where=path) from error
    export.check_columns(frame, path)
    return frame


def _add(figures: dict[str, Figure], row: Mapping[str, str], where: str) -> None:
    metric, value = row["metric"], _number(row["value"], where)
    before, unit = figures.get(metric), _unit(row, value, where)
    if before is not None and before.unit != unit:
        raise UserError(f"{metric} has two units", where=where)
    own = _conditions(row.get("conditions"), where)
    conditions = before.conditions if before else own
    mixed = before.mixed if before else ()
    if not math.isnan(value):
        mixed = tuple(dict.fromkeys((*mixed, *find_mixed(metric, (conditions, own)))))
    figures[metric] = Figure(
        metric=metric,
        unit=unit,
        higher_is_better=_better(metric, row.get("higher_is_better", "")),
        seeds=(*(before.seeds if before else ()), value),
        conditions=conditions,
        mixed=mixed,
    )


def _unit(row: Mapping[str, str], value: float, where: str) -> str:
    """As given; of an AP or AR without one, that of 0 to 1, which gates count in points."""
    metric, unit = row["metric"], row.get("unit", "")
    if needs_data(metric):
        unit = unit or "AP"
    if unit == "AP" and not math.isnan(value) and not 0 <= value <= 1:
        hint = "give a hundredth of it, and nothing where there is no number"
        raise UserError(f"{metric} {value:g} lies outside 0 to 1", where=where, hint=hint)
    return unit


def _number(text: str, where: str) -> float:
    try:
        return float(text) if text else math.nan
    except ValueError as error:
        raise UserError(f"has '{text}' for a value", where=where) from error


def _better(metric: str, text: str) -> bool | None:
    if text in ("True", "False"):
        return text == "True"
    if metric == "train_images_per_second":
        return True
    return BETTER.get(family_of(metric))


def _conditions(text: str | None, where: str) -> Mapping[str, Any]:
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UserError(f"has conditions that are not JSON ({error})", where=where) from error
    if not isinstance(found, dict):
        raise UserError("has conditions that are not a mapping", where=where)
    return found
