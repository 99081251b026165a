"""Records as pandas frames: the one way to CSV, tables and pages."""

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from harness.errors import UserError
from harness.records.record import Record
from harness.records.store import find_results, outcomes, read_run_records

# The header of results.csv, whatever was measured.
COLUMNS = [
    "run",
    "detector",
    "seed",
    "stage",
    "mode",
    "metric",
    "scope",
    "value",
    "unit",
    "higher_is_better",
    "count",
    "status",
    "error",
    "warnings",
    "conditions",
    "weights",
    "fingerprint",
    "environment",
    "time",
]


def to_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Latest measurements and failures in long form, one row each, with `COLUMNS`.

    A cell measured again (another fingerprint, new weights) replaces its older records.
    """
    rows = [
        {**vars(r), "conditions": json.dumps(dict(r.conditions), sort_keys=True, default=str),
         "warnings": "; ".join(map(str, r.warnings))}
        for r in outcomes(records)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def load_results(path: str | Path) -> pd.DataFrame:
    """Read measured numbers.

    Args:
        path: a run folder, a suite's folder of runs, a .jsonl of records or a results.csv.

    Returns:
        One row per number with the columns of `COLUMNS`; `value` is NaN where nothing could
        be measured.

    Raises:
        UserError: there are no results at `path`, or they cannot be read.
    """
    path = Path(path)
    if path.suffix == ".csv":
        return _read_csv(path)
    return to_frame([r for found in find_results(path) for r in read_run_records(found)])


def _read_csv(path: Path) -> pd.DataFrame:
    numbers = {"seed": "int64", "value": "float64", "count": "float64", "time": "float64"}
    text = dict.fromkeys((c for c in COLUMNS if c not in (*numbers, "higher_is_better")), "object")
    try:
        # a detector may be called "NA" and a hash may look like a number
        frame = pd.read_csv(
            path,
            dtype={**numbers, **text},
            keep_default_na=False,
            na_values={column: [""] for column in (*numbers, "higher_is_better")},
        )
    except (OSError, ValueError) as error:
        raise UserError(f"cannot be read ({error})", where=path) from error
    if list(frame.columns) != COLUMNS:
        raise UserError("has another header than results.csv", where=path)
    better = frame["higher_is_better"].astype("object")
    frame["higher_is_better"] = better.where(better.notna(), None)
    return frame
