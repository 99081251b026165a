"""A whole run of a tiny suite: what it prints and leaves behind, and how it goes on."""

# ruff: noqa: E501  a line of a table is a mistake and the line that answers it

import json
import math
import os
from pathlib import Path

import pandas as pd
import pytest
from tiny_suite import PLUGIN, harness, make_coco, tiny, write_manifest

from harness import load_results
from harness.manifest.suite import load_manifest
from harness.plan.planner import make_plan
from harness.plugin.manager import load_plugins
from harness.records.frame import COLUMNS
from harness.records.layout import records_files
from harness.records.store import read_run_records
from harness.report.sections.run import describe_state
from harness.results.run_folder import read_run
from harness.run.cell_runner import find_done

pytestmark = pytest.mark.slow

STAGES = ["train", "evaluate", "cost", "latency"]


def test_a_run_leaves_everything_in_its_folder(finished: Path):
    folder = finished / "results" / "tiny" / "done"
    assert {p.name for p in folder.iterdir()} == {
        "calls", "cells", "environments", "plan.json", "report.html", "results.csv",
    }  # fmt: skip
    cell = folder / "cells" / "tiny" / "seed0"
    assert {"checkpoint.pt", "detections.json"} <= {p.name for p in cell.iterdir()}
    assert not list(folder.rglob("*.tmp"))
    assert "<html" in (folder / "report.html").read_text()
    assert (folder / "results.csv").read_text().splitlines()[0] == ",".join(COLUMNS)


def test_it_prints_one_table_and_where_the_page_lies(finished: Path):
    out = (finished / "stdout.txt").read_text()
    assert "tiny, profile quick, data coco" in out
    assert "report: results/tiny/done/report.html" in out
    assert "Traceback" not in (finished / "stderr.txt").read_text()


def test_records_say_where_each_number_came_from(finished: Path):
    folder = finished / "results" / "tiny" / "done"
    records = read_run_records(folder)
    ends = [r for r in records if r.kind == "cell"]
    assert [(r.stage, r.status) for r in ends] == [(s, "ok") for s in STAGES]
    [written] = (folder / "environments").iterdir()
    environment = json.loads(written.read_text())
    assert written.stem == environment["id"]
    plan = json.loads((folder / "plan.json").read_text())
    cells = {c["stage"]: c["fingerprint"] for c in plan["cells"]}
    for record in records:
        assert record.environment == environment["id"]
        assert record.fingerprint == cells[record.stage]
        assert (record.run, record.detector, record.seed) == ("done", "tiny", 0)
    assert {r.weights for r in records if r.stage != "cost"} != {""}
    assert "harness run" in environment["command"] or "run m.yaml" in environment["command"]


def test_the_frame_has_the_numbers_of_every_stage(finished: Path):
    frame = load_results(finished / "results" / "tiny" / "done")
    assert list(dict.fromkeys(frame["stage"])) == STAGES
    assert {"train_loss", "ap", "ap_small", "parameters", "latency_network_p50"} <= set(
        frame["metric"]
    )
    whole = frame[frame["scope"] == ""].set_index("metric")["value"]
    assert math.isnan(whole["ap_large"])
    assert whole["parameters"] > 0
    pd.testing.assert_frame_equal(
        frame,
        load_results(finished / "results" / "tiny" / "done" / "results.csv"),
        check_dtype=False,
    )


def test_resuming_a_finished_run_measures_nothing_again(cli, copied: Path):
    files = [*records_files(copied), copied / "report.html", copied / "results.csv"]
    before = [path.stat().st_mtime_ns for path in files]
    done = cli("run", "m.yaml", "--resume", "--run-id", "done")
    assert done.code == 0
    assert "all 4 cells were measured before: nothing is left to run" in done.out
    assert [path.stat().st_mtime_ns for path in files] == before


@pytest.mark.parametrize("what", ["page gone", "page older", "other columns"])
def test_a_finished_run_is_reported_again_where_its_reports_do_not_say_all(
    cli, copied: Path, what: str
):
    page = copied / "report.html"
    options = ["--set", "columns=[parameters]"] if what == "other columns" else []
    if what == "page gone":
        page.unlink()
    if what == "page older":
        os.utime(page, (0, 0))
    before = page.stat().st_mtime_ns if page.is_file() else 0
    done = cli("run", "m.yaml", "--resume", "--run-id", "done", *options)
    assert done.code == 0
    for stage in STAGES:
        assert f"tiny seed 0 {stage}: kept" in done.err
    assert page.stat().st_mtime_ns > before
    again = cli("run", "m.yaml", "--resume", "--run-id", "done", *options)
    assert "nothing is left to run" in again.out


def test_what_another_device_measured_is_measured_again(copied: Path, tmp_path: Path):
    plan = make_plan(load_manifest(tmp_path / "m.yaml"), load_plugins([str(PLUGIN)]))
    stages = {
        device: {cell.stage for cell in find_done(plan, copied, device)}
        for device in ("cpu", "cuda", None)
    }
    assert stages["cpu"] == stages[None] == set(STAGES)
    assert "latency" not in stages["cuda"]
    (copied / "cells" / "tiny" / "seed0" / "checkpoint.pt").write_bytes(b"others")
    assert {cell.stage for cell in find_done(plan, copied, "cpu")} == set()


def test_only_what_changed_is_measured_again(cli, copied: Path):
    done = cli("run", "m.yaml", "--resume", "--set", "latency.runs=3")
    assert done.code == 0
    assert "tiny seed 0 evaluate: kept" in done.err
    assert "tiny seed 0 latency: ok" in done.err
    frame = load_results(copied)
    counts = frame[frame["metric"] == "latency_network_p50"]["count"]
    assert list(counts) == [3]


def test_stages_alone_take_the_weights_of_the_run(cli, copied: Path):
    trained = {r.weights for r in read_run_records(copied) if r.stage == "evaluate"}
    done = cli(
        "run", "m.yaml", "--resume", "--stages", "evaluate", "--set", "evaluate.max_images=2"
    )
    assert done.code == 0
    latest = load_results(copied)
    rows = latest[
        (latest["stage"] == "evaluate") & (latest["metric"] == "ap") & (latest["scope"] == "")
    ]
    assert set(rows["weights"]) == trained
    assert list(rows["count"]) == [2]


def test_choices_on_the_command_line(cli, tmp_path: Path, data: Path):
    write_manifest(tmp_path / "m.yaml", data, [tiny("one"), tiny("two"), tiny("three")])
    done = cli(
        "run", "m.yaml", "--only", "one,two", "--stages", "cost", "--seeds", "3,5",
        "--run-id", "chosen", "--results", "elsewhere",
    )  # fmt: skip
    assert done.code == 0
    frame = load_results(tmp_path / "elsewhere" / "tiny" / "chosen")
    assert set(frame["detector"]) == {"one", "two"}
    assert set(frame["seed"]) == {3, 5}
    assert set(frame["stage"]) == {"cost"}


def test_narrower_calls_forget_nothing_of_a_run(cli, tmp_path: Path, data: Path):
    """The plan of a run is that of all its calls: so are its page and what it says has run."""
    write_manifest(tmp_path / "m.yaml", data, [tiny("one"), tiny("two"), tiny("three")])
    folder = tmp_path / "results" / "tiny" / "grown"
    call = ["run", "m.yaml", "--run-id", "grown"]
    assert cli(*call, "--only", "one,three", "--stages", "cost").code == 0
    assert cli(*call, "--resume", "--only", "two,three", "--stages", "cost").code == 0
    assert cli(*call, "--resume", "--only", "one", "--stages", "evaluate", "--seeds", "4").code == 0
    run = read_run(folder)
    assert run.detectors == ("one", "two", "three")
    state = describe_state(run)
    assert (state.done, state.planned) == (4, 4)
    assert state.stages == ("evaluate", "cost")
    assert dict(state.facts)["seeds"] == "0, 4"
    page = (folder / "report.html").read_text()
    assert all(f">{name}<" in page for name in run.detectors)
    changed = cli(*call, "--resume", "--stages", "evaluate", "--only", "one", "--seeds", "4",
                  "--set", "evaluate.max_images=1")  # fmt: skip
    assert changed.code == 0
    state = describe_state(read_run(folder))
    assert (state.done, state.planned) == (4, 4), "a cell that is planned again takes its own place"


def test_the_page_is_not_written_after_each_cell(
    cli, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
):
    """Making it takes seconds, on the machine that is being timed."""
    from harness.report import page
    from harness.run import session

    write_manifest(tmp_path / "m.yaml", data, [tiny("one"), tiny("two")])
    written, write = [], page.write_page

    def count(*arguments: object) -> None:
        written.append(arguments)
        write(*arguments)

    monkeypatch.setattr(page, "write_page", count)
    assert cli("run", "m.yaml", "--run-id", "a", "--stages", "cost").code == 0
    assert len(written) == 2, "at the start and at the end"
    monkeypatch.setattr(session, "REPORT_SECONDS", 0.0)
    assert cli("run", "m.yaml", "--run-id", "b", "--stages", "cost").code == 0
    assert len(written) == 2 + 4, "in a long run, also after cells"
    assert [len(arguments) > 2 and arguments[2] for arguments in written[2:]] == [True] * 3 + [
        False
    ]


def test_numbers_of_untrained_weights_say_so(cli, tmp_path: Path, data: Path):
    write_manifest(tmp_path / "m.yaml", data)
    assert cli("run", "m.yaml", "--stages", "evaluate", "--run-id", "raw").code == 0
    frame = load_results(tmp_path / "results" / "tiny" / "raw")
    warnings = frame[frame["metric"] == "ap"]["warnings"].iloc[0]
    assert "untrained" in warnings.split("; ")


def test_an_existing_run_is_not_overwritten(cli, copied: Path):
    assert "this run already exists (continue it with --resume" in (
        cli("run", "m.yaml", "--run-id", "done").mistake
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--resume", "--run-id", "other"], "there is no run to resume"),
        (["--run-id", "../up"], "--run-id: '../up' is not a name"),
        (["--run-id", ""], "--run-id: '' is not a name"),
        (["--only", "tniy"], "--only: the suite has no detector 'tniy' (did you mean 'tiny'?"),
        (["--stages", "trian"], "--stages: there is no stage 'trian' (did you mean 'train'?"),
        (["--seeds", "x"], "'x' is not a whole number"),
        (["--device", "abacus"], "--device: 'abacus' is not a device"),
        (["--device", "meta"], "--device: 'meta' is not supported"),
        (["--device", "cuda:99"], "--device: 'cuda:99' cannot be used"),
        (["--profile", "quik"], "has no profile 'quik' (did you mean 'quick'?"),
        (["--data", "nowhere"], "nowhere: does not exist"),
        (["--set", "detectors.tiny.detector.params.wher=x"], "unknown key 'wher' (did you mean 'where'?"),
        (["--set", "detectors.tiny.detector.use=tinny"], "use=tinny: detectors.tiny.detector.use: no detector is called 'tinny' (did you mean 'tiny'?"),
        (["--set", "detectors.tiny.train.step=captured"], "detectors.tiny.train.step: CUDA graphs need an NVIDIA GPU (auto, eager or compiled on a CPU)"),
        (["--set", "detectors.tiny.train.precision=float16"], "detectors.tiny.train.precision: float16 needs a GPU"),
        (["--set", "detectors.tiny.train.precision=tf32"], "detectors.tiny.train.precision: tf32 needs an NVIDIA GPU"),
        (["--results", "m.yaml"], "m.yaml/tiny/"),
    ],
)  # fmt: skip
def test_mistakes_on_the_command_line(cli, tmp_path: Path, data: Path, arguments, expected):
    write_manifest(tmp_path / "m.yaml", data)
    done = cli("run", "m.yaml", *arguments)
    assert expected in done.mistake
    assert done.code == 2
    assert not (tmp_path / "results").exists()


def test_equal_runs_give_equal_numbers(cli, tmp_path: Path, data: Path):
    write_manifest(tmp_path / "m.yaml", data)
    frames = []
    for run_id in ("a", "b"):
        assert cli("run", "m.yaml", "--stages", "train,evaluate", "--run-id", run_id).code == 0
        frame = load_results(tmp_path / "results" / "tiny" / run_id)
        frames.append(frame[frame["metric"].isin(["train_loss", "ap", "ap_small", "ar_100"])])
    columns = ["metric", "scope", "value", "fingerprint", "weights"]
    assert (
        frames[0][columns[:4]]
        .reset_index(drop=True)
        .equals(frames[1][columns[:4]].reset_index(drop=True))
    )


def test_a_full_disk_loses_nothing_measured(copied: Path, tmp_path: Path):
    """A limit on the size of files stands for the full disk: the records cannot grow."""
    before = {p: p.read_bytes() for p in copied.rglob("*") if p.is_file()}
    records = copied / "cells" / "tiny" / "seed0" / "records" / "latency_eager.jsonl"
    blocks = len(before[records]) // 512  # what `ulimit -f` counts in
    done = harness(
        "run", "m.yaml", "-p", PLUGIN, "--resume", "--stages", "latency", "--set", "latency.runs=3",
        cwd=tmp_path, before=f"ulimit -f {blocks}",
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("harness: ")
    assert "cannot be written: File too large" in last
    assert "Traceback" not in done.stderr
    assert records.read_bytes() == before[records]
    assert len(load_results(copied)) == len(load_results(copied / "results.csv"))
    assert not list(copied.rglob("*.tmp"))


def test_a_results_folder_that_cannot_be_written(cli, tmp_path: Path, data: Path):
    write_manifest(tmp_path / "m.yaml", data)
    (tmp_path / "file").write_text("")
    done = cli("run", "m.yaml", "--results", "file/results")
    assert done.code == 2
    assert "file/results/tiny" in done.mistake
    assert "choose a folder with --results" in done.mistake


def test_a_set_without_boxes_in_training(cli, tmp_path: Path):
    root = make_coco(tmp_path / "coco")
    path = root / "annotations" / "instances_train.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "annotations": []}))
    write_manifest(tmp_path / "m.yaml", root)
    done = cli("run", "m.yaml")
    assert done.code == 2
    assert "has no boxes at all" in done.mistake
