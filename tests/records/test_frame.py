"""Records as frames: which attempt counts, a constant header, and what `load_results` takes."""

import math
from pathlib import Path

import pandas as pd
import pytest
from making import ended, measured

from harness.errors import UserError
from harness.plugin.metrics import Finding
from harness.records import layout
from harness.records.frame import COLUMNS, load_results, to_frame
from harness.records.store import latest, read_run_records, write_records

WARNINGS = (Finding("few_boxes", params={"boxes": 4}), Finding("resumed", "remark"))


def values(records: list) -> list[float]:
    return [r.value for r in records if r.kind == "measurement"]


def test_the_last_attempt_of_a_cell_replaces_the_earlier_ones():
    again = [measured(value=0.1), measured("ap50", 0.2), ended(), measured(value=0.3), ended()]
    assert values(latest(again)) == [0.3]


def test_a_later_failure_is_told_and_loses_no_number():
    failed = ended("failed", error="loss became NaN")
    good = [measured(), ended()]
    assert latest([*good, failed]) == [*good, failed]
    assert latest([*good, failed, failed]) == [*good, failed]


def test_numbers_replace_a_failure():
    failed = ended("failed", error="loss became NaN")
    assert values(latest([failed, measured(value=0.4), ended()])) == [0.4]


def test_numbers_without_an_end_were_cut_off_and_do_not_count():
    assert latest([measured(value=0.1)]) == []
    cut_then_failed = [measured(value=0.1), ended("interrupted")]
    assert values(latest(cut_then_failed)) == []


def test_cells_do_not_replace_one_another():
    others = [{"detector": "two"}, {"seed": 1}, {"stage": "cost"}, {"mode": "fused"}, {"run": "r2"}]
    records = [r for c in ({}, *others) for r in (measured(**c), ended(**c))]
    assert latest(records) == records


def test_the_header_is_the_same_whatever_was_measured(tmp_path: Path):
    for records in (
        [],
        [measured(), ended()],
        [ended("failed", error='says "x",\nand more')],
        [measured("latency", math.nan, samples=(1.0,), conditions={"device": "cpu"}), ended()],
    ):
        text = to_frame(records).to_csv(index=False)
        assert text.splitlines()[0] == ",".join(COLUMNS)


def test_failures_are_rows_and_good_ends_are_not():
    frame = to_frame([measured(), ended(), ended("failed", stage="cost", error="no")])
    assert list(frame["status"]) == ["ok", "failed"]
    assert list(frame["stage"]) == ["evaluate", "cost"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder inside a suite's folder; names and hashes that look like numbers."""
    folder = tmp_path / "suite" / "007"
    folder.mkdir(parents=True)
    same = {"run": "007", "fingerprint": "0012e456", "environment": "123456"}
    records = [
        measured("ap", 0.25, conditions={"backend": "x", "n": 3}, detector="NA", **same),
        ended(detector="NA", **same),
        ended("failed", detector="NA", stage="cost", error="None", **same),
        measured("ap_small", math.nan, scope="class/null", warnings=WARNINGS, count=4, **same),
        ended(**same),
    ]
    write_records(folder, records)
    (folder / "results.csv").write_text(to_frame(records).to_csv(index=False))
    return folder


def test_folder_suite_file_and_table_give_the_same_frame(run: Path):
    frame = load_results(run)
    assert list(frame.columns) == COLUMNS
    assert len(frame) == 3
    assert list(frame["warnings"]) == ["", "", "few_boxes (boxes=4); resumed"]
    assert list(frame["value"].isna()) == [False, True, True]
    together = run.parent / "together.jsonl"
    together.write_text("".join(r.to_json() + "\n" for r in read_run_records(run)))
    for path in (run.parent, together, str(run / "results.csv")):
        pd.testing.assert_frame_equal(load_results(path), frame, check_dtype=False)


def test_the_file_of_a_cell_can_be_read_by_itself(run: Path):
    for stage, status, value in (("evaluate", "ok", 0.25), ("cost", "failed", None)):
        frame = load_results(layout.records_file(run, "NA", 0, stage, ""))
        found = frame[["detector", "stage", "status"]].values.tolist()
        assert found == [["NA", stage, status]]
        assert frame["value"].dropna().tolist() == [value] * (value is not None)


def test_all_runs_of_a_suite_are_read(run: Path):
    other = run.with_name("b")
    other.mkdir()
    write_records(other, [measured(run="b", value=0.75), ended(run="b")])
    frame = load_results(run.parent)
    assert set(frame["run"]) == {"007", "b"}


@pytest.mark.parametrize("name", ["nothing", "nothing/cost.jsonl", "nothing.csv", "."])
def test_where_there_are_no_results(tmp_path: Path, name: str):
    with pytest.raises(UserError) as caught:
        load_results(tmp_path / name)
    assert str(tmp_path) in str(caught.value)


def test_tables_that_are_not_ours(tmp_path: Path):
    path = tmp_path / "other.csv"
    for text in ("", "a,b\n1,2\n", "\x00\x01", ",".join(COLUMNS[:-1]) + "\n"):
        path.write_text(text)
        with pytest.raises(UserError, match=r"other\.csv"):
            load_results(path)


def test_load_results_is_the_public_one(run: Path):
    import harness

    assert len(harness.load_results(run)) == 3
