"""Every measured number in one table of one schema, as Parquet, CSV or SQLite.

The table `measurements` has the columns of results.csv and the 95 % interval where there is one;
`samples` has the raw samples, one per row. A table of results, ours or any other with detector,
metric and value, can be a side of a comparison.
"""

import io
import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import UserError
from harness.files import write_atomic
from harness.plugin.metrics import MetricSpec
from harness.records.frame import COLUMNS
from harness.records.record import Record
from harness.records.store import find_results, outcomes
from harness.results.ap.bootstrap import CONFIDENCE
from harness.results.estimate import Estimate
from harness.results.protocol import find_mixed
from harness.results.run import MODE, Run, known_metrics
from harness.results.run_folder import open_run
from harness.results.sides import TABLES, Side

# Column -> type in pandas; on disk: text, 64-bit integers and floats, and truth values.
TYPES: Mapping[str, str] = {
    **dict.fromkeys(COLUMNS, "string"),
    **dict.fromkeys(("seed", "count"), "Int64"),
    **dict.fromkeys(("value", "time", "low", "high", "level"), "Float64"),
    "higher_is_better": "boolean",
}
SAMPLE_TYPES: Mapping[str, str] = {
    **{column: TYPES[column] for column in ("run", "detector", "seed", "stage", "metric", "scope")},
    "index": "Int64",
    "value": "Float64",
}
SCHEMAS = {"measurements": TYPES, "samples": SAMPLE_TYPES}
NEEDED = ("detector", "metric", "value")  # of a table of measurements
Table = pd.DataFrame


def collect(path: Path) -> tuple[Table, Table]:
    """Measurements and samples of a run folder, a folder of runs, a .jsonl of records or a table.

    A table is a results.csv, what `write_table` wrote, or any other that has `NEEDED`.

    Raises:
        UserError: there are none, or they cannot be read.
    """
    if path.suffix in TABLES:
        return read_table(path), typed(pd.DataFrame(), SAMPLE_TYPES)
    tables = [_collect_run(open_run(found)) for found in find_results(path)]
    return (
        typed(pd.concat([t for t, _ in tables], ignore_index=True), TYPES),
        typed(pd.concat([s for _, s in tables], ignore_index=True), SAMPLE_TYPES),
    )


def write_table(path: Path, tables: Mapping[str, Table]) -> None:
    """Write tables whole or not at all; Parquet and CSV take a single one.

    Raises:
        UserError: the ending is none of `TABLES`, or the file cannot be written.
    """
    check_format(path)
    if path.suffix == ".sqlite":
        with closing(sqlite3.connect(":memory:")) as connection:
            for name, table in tables.items():
                table.to_sql(name, connection, index=False)
            write_atomic(path, connection.serialize())
        return
    (table,) = tables.values()
    if path.suffix == ".parquet":
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        write_atomic(path, buffer.getvalue())
    else:
        write_atomic(path, table.to_csv(index=False, lineterminator="\n").encode())


def read_table(path: Path, name: str = "measurements") -> Table:
    """Inverse of `write_table`; columns that a table lacks are empty.

    Args:
        name: "measurements" or "samples".

    Raises:
        UserError: it cannot be read, or lacks a column that it cannot do without.
    """
    types = SCHEMAS[name]
    check_format(path)
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
        elif path.suffix == ".sqlite":
            frame = _read_sqlite(path, name)
        else:
            frame = _read_csv(path, types)
        needed = NEEDED if name == "measurements" else tuple(SAMPLE_TYPES)
        for column in needed:
            if column not in frame.columns:
                hint = f"a table of {name} has the columns {', '.join(needed)}"
                raise UserError(f"has no column '{column}'", where=path, hint=hint)
        return typed(frame, types)
    except (OSError, ValueError, TypeError, sqlite3.Error) as error:
        raise UserError(f"cannot be read ({error})", where=path) from error


def check_format(path: Path) -> None:
    """Raises UserError where the ending says no format."""
    if path.suffix not in TABLES:
        raise UserError(f"ends in '{path.suffix}'", where=path, hint=f"end in {', '.join(TABLES)}")


def typed(frame: Table, types: Mapping[str, str]) -> Table:
    """With the schema's columns and types, whatever is missing empty; NaN is missing."""
    made = frame.reindex(columns=list(types)).reset_index(drop=True)
    text = [column for column, kind in types.items() if kind == "string"]
    made[text] = made[text].astype("object").fillna("")
    if made["value"].dtype.kind != "f":
        made["value"] = pd.to_numeric(made["value"])
    return made.astype(dict(types))


def read_table_side(path: Path) -> Side:
    """A table of results as a side; columns that it lacks are unknown.

    Raises:
        UserError: it cannot be read, lacks a column, or holds several runs.
    """
    frame = read_table(path)
    runs = [run for run in frame["run"].unique() if run]
    if len(runs) > 1:
        found = f"holds {len(runs)} runs: {', '.join(runs)}"
        raise UserError(found, where=path, hint="compare the runs' folders, or export one of them")
    chosen = frame[(frame["metric"] != "") & ~frame["scope"].str.contains("/.*/|^(?!mode/).+")]
    subjects = chosen["detector"] + chosen["scope"].str.replace(f"^{MODE}", "@", regex=True)
    estimates: dict[str, dict[str, Estimate]] = {}
    for (subject, metric), rows in chosen.groupby([subjects, "metric"], sort=False):
        spec = known_metrics().specs.get(str(metric))
        if spec is None or not spec.of_cell:
            made = _estimate(rows, str(metric), path)
            estimates.setdefault(str(subject), {})[str(metric)] = made
    notes = [f"{path}: a table keeps neither samples nor detections, so the noise is unknown"]
    if not (frame["conditions"] != "").any():
        notes.append(f"{path}: it does not say under which conditions its numbers were measured")
    return Side(name=path.stem, path=str(path), estimates=estimates, notes=tuple(notes))


def _estimate(rows: Table, metric: str, path: Path) -> Estimate:
    """One metric of one detector, a row per seed."""
    where = f"{path}:{rows.index[0] + 2}"
    units = rows["unit"].unique()
    if len(units) > 1:
        raise UserError(f"{metric} has two units", where=where)
    better = rows["higher_is_better"].iloc[0]
    try:
        spec = known_metrics().spec(metric, units[0], None if pd.isna(better) else bool(better))
    except ValueError as error:
        raise UserError(str(error), where=where) from error
    if units[0] and units[0] != spec.unit:
        spec = MetricSpec(metric, spec.title, units[0], better=spec.better)
    values = [float(value) if pd.notna(value) else math.nan for value in rows["value"]]
    for value in values:
        if spec.kind == "score" and not math.isnan(value) and not 0 <= value <= 1:
            hint = "divide by 100; leave out what was not measured"
            raise UserError(f"{metric} {value:g} is outside 0 to 1", where=where, hint=hint)
    conditions = [_conditions(text, where) for text in rows["conditions"]]
    there = [c for c, value in zip(conditions, values, strict=True) if not math.isnan(value)]
    known = [value for value in values if not math.isnan(value)]
    mean = sum(known) / len(known) if known else math.nan
    bound = mean if spec.interval == "exact" else math.nan
    return Estimate(
        spec,
        mean,
        bound,
        bound,
        seeds=dict(zip(_seeds(rows), values, strict=True)),
        conditions=conditions[0],
        mixed=find_mixed(spec, there),
        detector=str(rows["detector"].iloc[0]),
    )


def _seeds(rows: Table) -> list[int]:
    """As the table has them; numbers where it has none, or one twice."""
    seeds = rows["seed"]
    if seeds.isna().any() or seeds.duplicated().any():
        return list(range(len(rows)))
    return [int(seed) for seed in seeds]


def _conditions(text: str, where: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except ValueError as error:
        raise UserError(f"has conditions that are not JSON ({error})", where=where) from error
    if not isinstance(found, dict):
        raise UserError("has conditions that are not a mapping", where=where)
    return found


def _collect_run(run: Run) -> tuple[Table, Table]:
    kept = outcomes(run.records)
    table = run.frame  # rows in the order of `kept`
    bounds = [_bounds(record, run) for record in kept]
    table = table.join(pd.DataFrame(bounds, table.index, ["low", "high", "level"]))
    return table, _samples(kept)


def _bounds(record: Record, run: Run) -> tuple[float, float, float]:
    """95 % interval of one seed's number, and its level; NaN without."""
    if record.kind == "measurement":
        made = run.estimate_of(record)
        if made.has_interval:
            return made.low, made.high, CONFIDENCE
    return math.nan, math.nan, math.nan


def _samples(records: Sequence[Record]) -> Table:
    rows = [
        (r.run, r.detector, r.seed, r.stage, r.metric, r.scope, index, value)
        for r in records
        for index, value in enumerate(r.samples)
    ]
    return pd.DataFrame(rows, columns=list(SAMPLE_TYPES))


def _read_csv(path: Path, types: Mapping[str, str]) -> Table:
    numbers = [column for column, kind in types.items() if kind != "string"]
    return pd.read_csv(
        path,
        dtype={column: kind for column, kind in types.items() if column != "value"},
        keep_default_na=False,  # a detector may be called "NA"
        na_values={column: [""] for column in numbers},
    )


def _read_sqlite(path: Path, name: str) -> Table:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        return pd.read_sql_query(
            f'SELECT * FROM "{name}"', connection, dtype_backend="numpy_nullable"
        )
