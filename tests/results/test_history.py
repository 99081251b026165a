"""A metric over runs."""

from pathlib import Path

import pytest
from making_sides import LATENCY, counted, timed, write_measured

from harness.errors import UserError
from harness.records import layout
from harness.results.comparison import compare_sides
from harness.results.history import Line, read_history, trace_metric
from harness.results.sides import read_sides


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Three runs; the folders' names do not tell their order."""
    write_measured(tmp_path / "c", {"a": [timed(10), counted(5)]}, time=1e9)
    write_measured(tmp_path / "b", {"a": [timed(20), counted(5)]}, time=1e9 + 60)
    write_measured(
        tmp_path / "a", {"a": [timed(20, device="cuda")], "new": [timed(7)]}, time=1e9 + 120
    )
    return tmp_path


def break_run(folder: Path, content: bytes) -> Path:
    """A run of one cell, whose records are these bytes."""
    path = layout.records_file(folder, "a", 0, "cost", "")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def trace(folder: Path, metric: str = "latency") -> list[Line]:
    return list(trace_metric(read_history(folder), metric))


def test_runs_stand_in_the_order_of_time_each_against_the_one_before(suite: Path):
    line, new = trace(suite)
    assert [p.run for p in line.points] == ["c", "b", "a"]
    assert [p.difference and p.difference.verdict for p in line.points] == [
        None,
        "worse",
        "refused",
    ]
    assert line.points[1].difference.ratio == pytest.approx(2.0)
    assert line.points[0].estimate.low < 10 < line.points[0].estimate.high
    assert [p.run for p in new.points] == ["a"]


def test_runs_without_the_metric_are_left_out(suite: Path):
    (line,) = trace(suite, "macs")
    assert [p.run for p in line.points] == ["c", "b"]
    assert line.points[1].difference.verdict == "equal"


def test_a_folder_of_suites_is_followed_too(suite: Path, tmp_path: Path):
    inner = tmp_path / "other"
    write_measured(inner / "d", {"a": [timed(30)]}, time=2e9)
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
    path = break_run(suite / "broken", b"{}\n")
    sides = read_history(suite)
    line, _ = trace_metric(sides, "latency")
    assert [p.run for p in line.points] == ["c", "b", "a"]
    (note,) = [note for side in sides for note in side.notes if note.startswith("skipped")]
    assert f"{path}:1" in note


def test_only_broken_runs_are_the_users_mistake(tmp_path: Path):
    break_run(tmp_path / "broken", b"\xff\n")
    with pytest.raises(UserError, match="no run can be read"):
        read_history(tmp_path)


def test_the_real_run_has_an_interval_or_none_but_a_value(finished: Path):
    (line,) = trace(finished / "results" / "tiny", "ap")
    assert line.points[0].estimate.is_there
    assert line.points[0].difference is None


def test_the_difference_to_the_run_before_is_that_of_a_comparison(suite: Path):
    line, _ = trace(suite)
    (row, *_) = compare_sides(read_sides([str(suite / "c"), str(suite / "b")]), ["latency"]).rows
    assert line.points[1].difference == row.differences[0]
    assert line.points[1].difference.mismatches == ()
    assert [str(m) for m in line.points[2].difference.mismatches] == ["device: cpu against cuda"]
