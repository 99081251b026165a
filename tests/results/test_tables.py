"""Every number out and back in."""

import sqlite3
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from making_sides import LATENCY, counted, timed, write_measured
from pandas.testing import assert_frame_equal

from harness.errors import UserError
from harness.plugin.metrics import Finding
from harness.records.frame import COLUMNS, load_results
from harness.records.measurement import Measurement
from harness.results.comparison import compare_sides
from harness.results.sides import TABLES as FORMATS
from harness.results.sides import read_side, read_sides
from harness.results.tables import SAMPLE_TYPES, TYPES, collect, read_table, write_table

ODD = Measurement(
    "ap",
    float("nan"),
    scope='class/"a, b"\nc',
    count=2**40,
    warnings=(Finding("a"), Finding("b;", params={"c": "d; e"})),
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_measured(tmp_path / "one", {"NA": [timed(0.1 + 0.2), counted(5), ODD]})


@pytest.mark.parametrize("ending", FORMATS)
def test_what_was_written_is_read_back(run: Path, tmp_path: Path, ending: str):
    measurements, samples = collect(run)
    for name, table in (("measurements", measurements), ("samples", samples)):
        file = tmp_path / f"{name}{ending}"
        write_table(file, {name: table})
        assert_frame_equal(read_table(file, name), table, check_exact=True)


@pytest.mark.parametrize("ending", FORMATS)
def test_a_real_run_comes_back_whole(finished: Path, tmp_path: Path, ending: str):
    folder = finished / "results" / "tiny" / "done"
    measurements, _ = collect(folder)
    assert len(measurements) == len(load_results(folder)) > 20
    write_table(tmp_path / f"m{ending}", {"measurements": measurements})
    assert_frame_equal(read_table(tmp_path / f"m{ending}"), measurements, check_exact=True)


def test_the_columns_are_those_of_results_csv_and_the_interval(run: Path):
    measurements, samples = collect(run)
    assert list(measurements.columns) == [*COLUMNS, "low", "high", "level"] == list(TYPES)
    assert {c: str(t) for c, t in measurements.dtypes.items()} == dict(TYPES)
    assert list(samples.columns) == list(SAMPLE_TYPES)
    times = measurements[measurements["metric"] == LATENCY].iloc[0]
    assert times["low"] < times["value"] < times["high"]
    assert times["level"] == 0.95
    assert measurements["low"].isna().sum() == 2
    assert samples["index"].tolist() == list(range(60))


def test_both_tables_fit_into_one_database(run: Path, tmp_path: Path):
    measurements, samples = collect(run)
    file = tmp_path / "both.sqlite"
    write_table(file, {"measurements": measurements, "samples": samples})
    connection = sqlite3.connect(file)
    query = "SELECT count(*), avg(s.value) FROM samples s JOIN measurements m USING (run, metric)"
    count, mean = connection.execute(query).fetchone()
    types = dict(connection.execute("SELECT typeof(seed), typeof(value) FROM measurements"))
    connection.close()
    assert count == 60
    assert mean == pytest.approx(0.3, rel=0.01)
    assert set(types) == {"integer"}


def test_parquet_has_the_types_even_where_a_column_is_empty(run: Path, tmp_path: Path):
    measurements, _ = collect(run)
    write_table(tmp_path / "m.parquet", {"measurements": measurements.head(0)})
    schema = pq.read_schema(tmp_path / "m.parquet")
    assert str(schema.field("low").type) == "double"
    assert str(schema.field("seed").type) == "int64"
    assert str(schema.field("higher_is_better").type) == "bool"


def test_a_folder_of_runs_is_one_table(run: Path, tmp_path: Path):
    write_measured(tmp_path / "two", {"b": [counted(6)]})
    measurements, _ = collect(tmp_path)
    assert measurements["run"].unique().tolist() == ["one", "two"]


def test_a_csv_can_be_brought_into_another_format(run: Path, tmp_path: Path):
    load_results(run).to_csv(tmp_path / "results.csv", index=False)
    measurements, samples = collect(tmp_path / "results.csv")
    assert len(measurements) == 3
    assert len(samples) == 0
    assert measurements["detector"].tolist() == ["NA"] * 3


@pytest.mark.parametrize("ending", FORMATS)
def test_an_export_can_be_exported_and_compared_again(run: Path, tmp_path: Path, ending: str):
    measurements, _ = collect(run)
    file = tmp_path / f"out{ending}"
    write_table(file, {"measurements": measurements})
    assert_frame_equal(collect(file)[0], measurements, check_exact=True)
    estimates = read_side(file).estimates["NA"]
    assert estimates[LATENCY].value == 0.1 + 0.2
    assert estimates[LATENCY].conditions == {"device": "cpu"}
    assert estimates[LATENCY].metric.higher_is_better is False
    found = compare_sides(read_sides([str(run), str(file)]), ["latency", "macs"])
    assert [row.differences[0].verdict for row in found.rows] == ["unknown", "equal"]


@pytest.mark.parametrize(
    ("column", "seeds"), [([7, 3], [7, 3]), ([7, 7], [0, 1]), ([7, None], [0, 1]), (None, [0, 1])]
)
def test_a_table_keeps_its_seeds(column: list[int | None] | None, seeds: list[int], tmp_path: Path):
    rows = pd.DataFrame({"detector": "a", "metric": "ap", "value": [0.3, 0.4]})
    if column is not None:
        rows["seed"] = pd.array(column, "Int64")
    rows.to_csv(tmp_path / "other.csv", index=False)
    found = read_side(tmp_path / "other.csv").estimates["a"]["ap"]
    assert dict(found.seeds) == dict(zip(seeds, [0.3, 0.4], strict=True))


@pytest.mark.parametrize("ending", FORMATS)
def test_an_export_of_two_runs_is_no_side(run: Path, tmp_path: Path, ending: str):
    write_measured(tmp_path / "two", {"b": [counted(6)]})
    file = tmp_path / f"out{ending}"
    write_table(file, {"measurements": collect(tmp_path)[0]})
    with pytest.raises(UserError, match="holds 2 runs: one, two"):
        read_side(file)


@pytest.mark.parametrize("name", ["quick.csv", "bccd.csv", "coco80.csv"])
def test_the_committed_tables_can_be_exported(name: str, tmp_path: Path):
    measurements, _ = collect(Path(__file__).parents[2] / "results" / name)
    assert measurements["value"].notna().any()
    assert measurements["run"].unique().tolist() == [""]
    write_table(tmp_path / "m.sqlite", {"measurements": measurements})
    assert_frame_equal(read_table(tmp_path / "m.sqlite"), measurements, check_exact=True)


@pytest.mark.parametrize(("ending", "said"), [(".csv", "no column"), (".sqlite", "no such table")])
def test_other_tables_are_the_users_mistake(run: Path, tmp_path: Path, ending: str, said: str):
    file = tmp_path / f"samples{ending}"
    samples = collect(run)[1]
    if ending == ".csv":
        samples = samples.rename(columns={"value": "time"})
    write_table(file, {"samples": samples})
    for read in (read_side, collect):
        with pytest.raises(UserError, match=said):
            read(file)


def test_what_cannot_be_is_the_users_mistake(run: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"ends in '\.xlsx'"):
        write_table(tmp_path / "a.xlsx", {"measurements": pd.DataFrame()})
    with pytest.raises(UserError, match="holds no results"):
        collect(tmp_path / "none")
    (tmp_path / "a.parquet").write_text("no parquet")
    with pytest.raises(UserError, match="cannot be read"):
        read_table(tmp_path / "a.parquet")


def test_a_failed_write_leaves_what_was_there(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "m.sqlite"
    file.write_text("before")
    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(UserError, match="No space left"):
        write_table(file, {"measurements": collect(run)[0]})
    assert file.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["m.sqlite"]
