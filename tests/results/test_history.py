"""A metric over runs."""

import csv
from pathlib import Path

import pytest
from making_sides import LATENCY, counted, timed, write_records
from rich.console import Console

from harness.errors import UserError
from harness.report.history import BLOCKS, print_history, sparkline, write_history
from harness.results.history import Line, read_history, trace_metric


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Three runs; the folders' names do not tell their order."""
    write_records(tmp_path / "c", {"a": [timed(10), counted(5)]}, time=1e9)
    write_records(tmp_path / "b", {"a": [timed(20), counted(5)]}, time=1e9 + 60)
    write_records(
        tmp_path / "a", {"a": [timed(20, device="cuda")], "new": [timed(7)]}, time=1e9 + 120
    )
    return tmp_path


def trace(folder: Path, metric: str = "latency") -> list[Line]:
    return list(trace_metric(read_history(folder), metric))


def test_runs_stand_in_the_order_of_time_each_against_the_one_before(suite: Path):
    line, new = trace(suite)
    assert [p.run for p in line.points] == ["c", "b", "a"]
    assert [p.change and p.change.verdict for p in line.points] == [None, "worse", "refused"]
    assert line.points[1].change.ratio == pytest.approx(2.0)
    assert line.points[0].low < 10 < line.points[0].high
    assert [p.run for p in new.points] == ["a"]


def test_runs_without_the_metric_are_left_out(suite: Path):
    (line,) = trace(suite, "macs")
    assert [p.run for p in line.points] == ["c", "b"]
    assert line.points[1].change.verdict == "equal"


def test_a_folder_of_suites_is_followed_too(suite: Path, tmp_path: Path):
    inner = tmp_path / "other"
    write_records(inner / "d", {"a": [timed(30)]}, time=2e9)
    line, _ = trace(tmp_path)
    assert [p.run for p in line.points] == ["c", "b", "a", "d"]


def test_one_detector_may_be_asked_for(suite: Path):
    sides = read_history(suite)
    assert [line.detector for line in trace_metric(sides, LATENCY, ["new"])] == ["new"]
    with pytest.raises(UserError, match="no side has the detector"):
        list(trace_metric(sides, LATENCY, ["newt"]))
    with pytest.raises(UserError, match="no side has the metric"):
        list(trace_metric(sides, "ap"))


def test_a_folder_without_runs_is_the_users_mistake(tmp_path: Path):
    with pytest.raises(UserError, match="holds no runs"):
        read_history(tmp_path)


def test_a_broken_run_is_skipped_and_named(suite: Path):
    (suite / "broken").mkdir()
    (suite / "broken" / "records.jsonl").write_text("{}\n")
    sides = read_history(suite)
    line, _ = trace_metric(sides, "latency")
    assert [p.run for p in line.points] == ["c", "b", "a"]
    (note,) = [note for side in sides for note in side.notes if note.startswith("skipped")]
    assert "broken/records.jsonl:1" in note


def test_only_broken_runs_are_the_users_mistake(tmp_path: Path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "records.jsonl").write_bytes(b"\xff\n")
    with pytest.raises(UserError, match="no run can be read"):
        read_history(tmp_path)


def test_the_real_run_has_an_interval_or_none_but_a_value(finished: Path):
    (line,) = trace(finished / "results" / "tiny", "ap")
    assert line.points[0].value == line.points[0].value
    assert line.points[0].change is None


@pytest.mark.parametrize("width", [80, 160])
def test_the_table_fits(suite: Path, width: int):
    console = Console(width=width, record=True, file=None, force_terminal=False, quiet=False)
    with console.capture() as captured:
        print_history(trace(suite), console)
    lines = captured.get().splitlines()
    table = [line for line in lines if "2001" in line or "09-09" in line]
    assert len(table) == 4
    assert all(len(line) <= width for line in table)
    assert any("▼ +100.0 %" in line for line in table)
    assert any("device: cpu against cuda" in line for line in lines)
    assert sum("one process a side" in line for line in lines) == 1


def test_doubts_name_their_runs_even_of_a_single_one(tmp_path: Path):
    write_records(tmp_path / "r1", {"a": [timed(10, 10)], "b": [timed(10, 10)]})
    write_records(tmp_path / "r2", {"a": [timed(10, 10)]}, time=2e9)
    console = Console(width=120, force_terminal=False)
    with console.capture() as captured:
        print_history(trace(tmp_path), console)
    lines = captured.get().splitlines()
    assert "a latency: ! only 10 samples (r1, r2)" in lines
    assert "b latency: ! only 10 samples (r1)" in lines
    assert sum("10.0!" in line for line in lines) == 3
    assert any("! doubtful" in line for line in lines)


def test_blocks_go_from_the_lowest_to_the_highest():
    assert sparkline([0, 7]) == BLOCKS[0] + BLOCKS[7]
    assert sparkline([1, 1, 1]) == BLOCKS[3] * 3
    assert sparkline([0, float("nan"), 7]) == f"{BLOCKS[0]} {BLOCKS[7]}"
    assert sparkline([float("nan")]) == " "


def test_the_csv_has_a_line_a_run(suite: Path):
    write_history(suite / "h.csv", trace(suite))
    with (suite / "h.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["verdict"] for row in rows] == ["", "worse", "refused", ""]
    assert float(rows[1]["value"]) == 20
    assert rows[2]["mismatches"] == "device: cpu against cuda"
