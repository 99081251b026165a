"""One cell that fails, for whatever reason, leaves the others alone."""

from pathlib import Path

import pytest
from tiny_suite import tiny, write_manifest

from harness import load_results
from harness.plugin.manager import load_plugins
from harness.plugin.metrics import Finding
from harness.records.store import read_run_records
from harness.results.run import known_metrics
from harness.results.run_folder import read_run

pytestmark = pytest.mark.slow

# name -> (parameters, the stage that fails, what its record says)
TROUBLES = {
    "bug_build": (
        {"where": "build", "what": "bug"},
        "train",
        "ZeroDivisionError: a bug of two lines",
    ),
    "cell_losses": ({"where": "losses", "what": "cell"}, "train", "cannot go on"),
    "bug_losses": ({"where": "losses", "what": "bug"}, "train", "ZeroDivisionError: a bug"),
    "exit_losses": ({"where": "losses", "what": "exit"}, "train", "SystemExit: 7"),
    "nan_losses": ({"where": "losses", "what": "nan"}, "train", "loss became NaN at step 1"),
    "bug_post": ({"where": "postprocess", "what": "bug"}, "evaluate", "ZeroDivisionError: a bug"),
    "user_post": ({"where": "postprocess", "what": "user"}, "evaluate", "does not like it"),
}
NOT_RUN = "not run: an earlier stage of this detector failed"


@pytest.fixture
def troubled(cli, tmp_path: Path, data: Path):
    """Everything that can go wrong in a cell, between two sound detectors."""
    sick = [tiny(name, **params) for name, (params, _, _) in TROUBLES.items()]
    write_manifest(tmp_path / "m.yaml", data, [tiny("first"), *sick, tiny("last")])
    return cli("run", "m.yaml", "--run-id", "sick")


def test_failures_stay_in_their_cells(troubled, cli, tmp_path: Path, data: Path):
    folder = tmp_path / "results" / "tiny" / "sick"
    assert troubled.code == 1
    assert "Traceback" not in troubled.err + troubled.out
    ends = {(r.detector, r.stage): r for r in read_run_records(folder) if r.kind == "cell"}
    for name in ("first", "last"):
        assert {ends[name, s].status for s in ("train", "evaluate", "cost", "latency")} == {"ok"}
    for name, (_, stage, message) in TROUBLES.items():
        assert ends[name, stage].status == "failed"
        assert message in ends[name, stage].error
        assert "\n" not in ends[name, stage].error
        assert f"{name} seed 0 {stage}: failed: " in troubled.err
        if stage == "train":
            assert {ends[name, s].error for s in ("evaluate", "cost", "latency")} == {NOT_RUN}
    _check_tracebacks(folder)
    _check_reports(folder)
    _check_resume(cli, tmp_path, data)


def test_what_does_not_go_together_is_told_before_anything_runs(cli, tmp_path: Path, data: Path):
    (tmp_path / "other.pt").write_bytes(b"no checkpoint")
    tell = {
        "detectors.user_build detector 'tiny': does not like it": [
            tiny("first"),
            tiny("user_build", where="build", what="user"),
        ],
        "other.pt: is not a checkpoint": [
            tiny("first"),
            tiny("loaded").replace("{detector", "{checkpoint: other.pt, detector"),
        ],
    }
    for line, detectors in tell.items():
        write_manifest(tmp_path / "m.yaml", data, detectors)
        done = cli("run", "m.yaml", "--run-id", "never")
        assert done.code == 2
        assert line in done.mistake
        assert not (tmp_path / "results").exists()


def _check_tracebacks(folder: Path) -> None:
    """Of bugs, and of bugs alone, the traceback is kept."""
    kept = {p.parent.parent.name for p in (folder / "cells").rglob("*_error.txt")}
    assert kept == {"bug_build", "bug_losses", "exit_losses", "bug_post"}
    text = (folder / "cells" / "bug_losses" / "seed0" / "train_error.txt").read_text()
    assert text.startswith("Traceback")
    assert "tiny_detectors.py" in text


def _check_reports(folder: Path) -> None:
    frame = load_results(folder / "results.csv")
    failed = frame[frame["status"] == "failed"]
    assert set(failed["detector"]) == set(TROUBLES)
    assert "a bug of two lines" in (folder / "report.html").read_text()


def _check_resume(cli, tmp_path: Path, data: Path) -> None:
    """A repaired cell that never got as far as training is done; what was good is kept."""
    write_manifest(tmp_path / "m.yaml", data, [tiny("first"), tiny("bug_build")])
    done = cli("run", "m.yaml", "--resume", "--run-id", "sick")
    assert done.code == 0, done.err
    assert "first seed 0 evaluate: kept" in done.err
    frame = load_results(tmp_path / "results" / "tiny" / "sick")
    assert set(frame[frame["detector"] == "bug_build"]["status"]) == {"ok"}


METER = """\
from harness.plugin import Meter, MetricSpec, NoParams, hookimpl
from harness.records.measurement import Measurement


@hookimpl
def harness_meters():
    sides = MetricSpec("sides", "corners", unit="corners", digits=0, better="lower")
    words = {{"odd": "{{n}} is odd"}}
    return [Meter("polygons", "{module}:Polygons", NoParams, "s", "cost", (sides,), words)]


class Polygons:
    def __call__(self, detector, given):
        return [Measurement({written!r}, 7.0)]
"""
METERS = "meters=[parameters, polygons, coco_ap, latency]"


def test_a_metric_that_no_meter_declares_fails_its_cell_alone(cli, tmp_path: Path, data: Path):
    source = METER.format(module="meter_undeclared", written="side")
    (tmp_path / "meter_undeclared.py").write_text(source)
    write_manifest(tmp_path / "m.yaml", data)
    call = ("run", "m.yaml", "--run-id", "r", "-p", "meter_undeclared.py", "--set", METERS)
    done = cli(*call, "--stages", "evaluate,cost,latency")
    assert done.code == 1
    assert "Traceback" not in done.err + done.out
    folder = tmp_path / "results" / "tiny" / "r"
    records = read_run_records(folder)
    ends = {r.stage: r for r in records if r.kind == "cell"}
    assert {stage: end.status for stage, end in ends.items()} == {
        "evaluate": "ok", "cost": "failed", "latency": "ok",
    }  # fmt: skip
    assert ends["cost"].error == (
        "a meter wrote the metric 'side', which no meter of this stage declares "
        "(did you mean 'sides'? there is: parameters, sides)"
    )
    assert not [r for r in records if r.stage == "cost" and r.kind == "measurement"]
    assert not list(folder.rglob("*_error.txt")), "a clear line needs no traceback"


def test_what_a_meter_of_a_file_declares_is_kept_with_the_run(cli, tmp_path: Path, data: Path):
    """The run can be looked at where the file is not given."""
    source = METER.format(module="meter_declared", written="sides")
    (tmp_path / "meter_declared.py").write_text(source)
    write_manifest(tmp_path / "m.yaml", data)
    call = ("run", "m.yaml", "--run-id", "r", "-p", "meter_declared.py", "--set", METERS)
    assert cli(*call, "--stages", "cost").code == 0
    load_plugins()  # without the file
    assert "sides" not in known_metrics().specs
    run = read_run(tmp_path / "results" / "tiny" / "r")
    spec = run.spec("sides")
    assert (spec.title, spec.unit, spec.better, spec.digits) == ("corners", "corners", "lower", 0)
    assert run.estimate("tiny", "sides").value == 7.0
    assert run.catalog.word(Finding("odd", params={"n": 7})) == "7 is odd"
    assert not [note for note in run.notes if "declares" in note]
