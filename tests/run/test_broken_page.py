"""A page that cannot be made costs no measurement."""

from pathlib import Path

import pytest
from tiny_suite import write_manifest

from harness import load_results
from harness.records.store import read_run_records


def test_a_page_that_cannot_be_made_harms_no_cell(
    cli, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(path: Path, run: object, goes_on: bool) -> None:
        raise ZeroDivisionError("in a template")

    monkeypatch.setattr("harness.report.page.write_page", fail)
    monkeypatch.setattr("harness.run.session.REPORT_SECONDS", 0.0)  # also between cells
    write_manifest(tmp_path / "m.yaml", data)
    with pytest.raises(ZeroDivisionError):
        cli("run", "m.yaml", "--stages", "evaluate,cost", "--run-id", "r")
    run = tmp_path / "results" / "tiny" / "r"
    ends = [r for r in read_run_records(run) if r.kind == "cell"]
    assert [(r.stage, r.status) for r in ends] == [("evaluate", "ok"), ("cost", "ok")]
    assert len(load_results(run / "results.csv"))


def test_an_interruption_of_the_page_is_not_the_cells(
    cli, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
):
    written: list[Path] = []

    def interrupt_once(path: Path, run: object, goes_on: bool) -> None:
        written.append(path)
        if len(written) == 2:  # not of that from the start
            raise KeyboardInterrupt

    write_manifest(tmp_path / "m.yaml", data)
    monkeypatch.setattr("harness.report.page.write_page", interrupt_once)
    monkeypatch.setattr("harness.run.session.REPORT_SECONDS", 0.0)
    done = cli("run", "m.yaml", "--stages", "evaluate,cost", "--run-id", "r")
    assert done.code == 130
    assert len(written) == 3
    [end] = [r for r in read_run_records(tmp_path / "results" / "tiny" / "r") if r.kind == "cell"]
    assert (end.stage, end.status) == ("evaluate", "ok")
