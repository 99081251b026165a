"""Every measured number in one table of one schema, as Parquet, CSV or SQLite.

The table `measurements` has the columns of results.csv and the 95 % interval where there is one;
`samples` has the raw samples, one a row.
"""

import io
import math
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from harness.errors import UserError
from harness.files import write_atomic
from harness.records.frame import COLUMNS, latest, to_frame
from harness.records.record import Record
from harness.records.store import read_records
from harness.results.ap.bootstrap import CONFIDENCE
from harness.results.run import Run, read_run
from harness.results.samples.percentiles import percentile_interval
from harness.results.validity import samples_behind
from harness.results.validity_rules import percent_of

# Column -> type in pandas; on disk: text, 64-bit integers and floats, and truth values.
TYPES: Mapping[str, str] = {
    **dict.fromkeys(COLUMNS, "string"),
    "seed": "Int64",
    "value": "Float64",
    "higher_is_better": "boolean",
    "count": "Int64",
    "time": "Float64",
    "low": "Float64",
    "high": "Float64",
    "level": "Float64",
}
SAMPLE_TYPES: Mapping[str, str] = {
    "run": "string",
    "detector": "string",
    "seed": "Int64",
    "stage": "string",
    "metric": "string",
    "scope": "string",
    "index": "Int64",
    "value": "Float64",
}
SQL = {"string": "TEXT", "Int64": "INTEGER", "Float64": "REAL", "boolean": "INTEGER"}
SCHEMAS = {"measurements": TYPES, "samples": SAMPLE_TYPES}
FORMATS = (".parquet", ".csv", ".sqlite")
NEEDED = ("detector", "metric", "value")  # of a table of measurements
Table = pd.DataFrame


def collect(path: Path) -> tuple[Table, Table]:
    """Measurements and samples of a run folder, a folder of runs, a records.jsonl or a table.

    A table is a results.csv, what `write_table` wrote, or any other that has `NEEDED`.

    Raises:
        UserError: there are none, or they cannot be read.
    """
    if path.suffix in FORMATS:
        return read_table(path), _typed(pd.DataFrame(), SAMPLE_TYPES)
    tables = [_collect_run(file) for file in _record_files(path)]
    return (
        _typed(pd.concat([t for t, _ in tables], ignore_index=True), TYPES),
        _typed(pd.concat([s for _, s in tables], ignore_index=True), SAMPLE_TYPES),
    )


def write_table(path: Path, tables: Mapping[str, Table]) -> None:
    """Write tables whole or not at all; Parquet and CSV take a single one.

    Raises:
        UserError: the ending is none of `FORMATS`, or the file cannot be written.
    """
    check_format(path)
    if path.suffix == ".sqlite":
        write_atomic(path, _sqlite(tables))
        return
    (table,) = tables.values()
    if path.suffix == ".parquet":
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        write_atomic(path, buffer.getvalue())
    else:
        write_atomic(path, table.to_csv(index=False, lineterminator="\n").encode())


def read_table(path: Path, name: str = "measurements") -> Table:
    """Inverse of `write_table`.

    Args:
        name: "measurements" or "samples".

    Raises:
        UserError: it cannot be read.
    """
    types = SCHEMAS[name]
    check_format(path)
    try:
        if path.suffix == ".sqlite":
            frame = _from_sqlite(path, name)
        elif path.suffix == ".parquet":
            frame = pd.read_parquet(path)
        else:
            frame = _from_csv(path, types)
        check_columns(frame, path, name)
        return _typed(frame, types)
    except (OSError, ValueError, sqlite3.Error) as error:
        raise UserError(f"cannot be read ({error})", where=path) from error


def _from_csv(path: Path, types: Mapping[str, str]) -> Table:
    numbers = [column for column, kind in types.items() if kind != "string"]
    return pd.read_csv(
        path,
        dtype=dict.fromkeys(types, str),
        keep_default_na=False,
        na_values={column: [""] for column in numbers},
    )


def check_columns(frame: Table, path: Path, name: str = "measurements") -> None:
    """Raises UserError where a column is absent that a table cannot do without."""
    needed = NEEDED if name == "measurements" else tuple(SAMPLE_TYPES)
    absent = [column for column in needed if column not in frame.columns]
    if absent:
        hint = f"a table of {name} has the columns {', '.join(needed)}"
        raise UserError(f"has no column '{absent[0]}'", where=path, hint=hint)


def check_format(path: Path) -> None:
    """Raises UserError where the ending says no format."""
    if path.suffix not in FORMATS:
        raise UserError(f"ends in '{path.suffix}'", where=path, hint=f"end in {', '.join(FORMATS)}")


def _record_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = [path / "records.jsonl", *sorted(path.glob("*/records.jsonl"))]
    found = [file for file in files if file.is_file()]
    if not found:
        raise UserError("holds no results", where=path, hint="a run folder, or a records.jsonl")
    return found


def _collect_run(file: Path) -> tuple[Table, Table]:
    run = read_run(file.parent) if (file.parent / "plan.json").is_file() else None
    records = list(run.records) if run else read_records(file)
    kept = [r for r in latest(records) if r.kind == "measurement" or r.status != "ok"]
    table = to_frame(records)  # rows in the order of `kept`
    bounds = [_bounds(record, kept, run) for record in kept]
    table["low"] = [low for low, _ in bounds]
    table["high"] = [high for _, high in bounds]
    table["level"] = [math.nan if math.isnan(low) else CONFIDENCE for low, _ in bounds]
    return table, _samples(kept)


def _bounds(record: Record, records: Sequence[Record], run: Run | None) -> tuple[float, float]:
    """95 % interval over images of an AP, over samples of a latency; NaN without."""
    analysis = run.analyses.get((record.detector, record.seed)) if run else None
    if analysis is not None and record.stage == "evaluate":
        estimates = analysis.metrics
        name = record.metric
        if record.metric == "ap" and record.scope.startswith("class/"):
            estimates, name = analysis.classes, record.scope.removeprefix("class/")
        elif record.scope:
            return math.nan, math.nan
        if name in estimates:
            return estimates[name].low, estimates[name].high
    percent = percent_of(record.metric)
    samples = samples_behind(record, records) if percent is not None else ()
    return percentile_interval(samples, percent) if samples and percent else (math.nan, math.nan)


def _samples(records: Sequence[Record]) -> Table:
    rows = [
        (r.run, r.detector, r.seed, r.stage, r.metric, r.scope, index, value)
        for r in records
        for index, value in enumerate(r.samples)
    ]
    return pd.DataFrame(rows, columns=list(SAMPLE_TYPES))


def _typed(frame: Table, types: Mapping[str, str]) -> Table:
    """With the schema's columns and types, whatever is missing empty; NaN is missing."""
    columns = {}
    for name, kind in types.items():
        column = frame[name] if name in frame.columns else pd.Series([None] * len(frame))
        columns[name] = _column(column, kind).reset_index(drop=True)
    return pd.DataFrame(columns)


def _column(column: pd.Series, kind: str) -> pd.Series:
    if kind == "string":
        return column.fillna("").astype("string")
    if kind == "boolean":
        return column.map(_truth).astype("boolean")
    numbers = pd.to_numeric(column)
    return numbers.astype("Int64") if kind == "Int64" else numbers.astype("Float64")


def _truth(value: object) -> bool | None:
    """Of a truth value, its name, or SQLite's 0 and 1."""
    if value is None or value is pd.NA or value != value:
        return None
    known = {"True": True, "False": False, "1": True, "0": False}
    if str(value) not in known:
        raise ValueError(f"{value!r} is not a truth value")
    return known[str(value)]


def _sqlite(tables: Mapping[str, Table]) -> bytes:
    with_names = {name: (SCHEMAS[name], table) for name, table in tables.items()}
    connection = sqlite3.connect(":memory:")
    try:
        for name, (types, table) in with_names.items():
            fields = ", ".join(f'"{column}" {SQL[kind]}' for column, kind in types.items())
            connection.execute(f'CREATE TABLE "{name}" ({fields})')
            places = ", ".join("?" * len(types))
            connection.executemany(f'INSERT INTO "{name}" VALUES ({places})', _plain_rows(table))
        connection.commit()
        return connection.serialize()
    finally:
        connection.close()


def _plain_rows(table: Table) -> list[tuple[object, ...]]:
    plain = table.astype(object).where(table.notna(), None)
    return list(plain.itertuples(index=False, name=None))


def _from_sqlite(path: Path, name: str) -> Table:
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        cursor = connection.execute(f'SELECT * FROM "{name}"')
        columns = [str(column[0]) for column in cursor.description]
        # as it is: pandas would make floats of whole numbers with gaps
        return pd.DataFrame(cursor.fetchall(), columns=columns, dtype=object)
    finally:
        connection.close()
