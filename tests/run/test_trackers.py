"""Trackers: TensorBoard's files read back, one of an outsider's, and what a bad one cannot do."""

import json
import re
import time
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_suite import PLUGIN, harness_here, make_coco, tiny, write_manifest

from harness.manifest.suite import load_manifest
from harness.plan.cells import Cell, Plan
from harness.plan.planner import make_plan
from harness.plugin.manager import load_plugins
from harness.records.store import read_run_records
from harness.run.launch import Launch
from harness.run.tracking import Tracking

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"
BAD = """\
from harness.plugin import NoParams, Tracker, hookimpl


@hookimpl
def harness_trackers():
    return [Tracker("bad", "bad:Bad", NoParams, "")]


class Bad:
    def __init__(self, cell):
        pass

    def start(self):
        pass

    def log(self, values, step=None):
        import random
        random.seed(7)
        raise SystemExit("the server is gone")

    def finish(self):
        raise RuntimeError("never told")
"""
CPU = Launch(torch.device("cpu"), 0, 1)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trackers")
    path = write_manifest(folder / "m.yaml", make_coco(folder / "data"), [tiny()])
    path.write_text(path.read_text().replace("steps: 2,", "steps: 5, log_every: 2,"))
    page = (DOCS / "writing-a-plugin.md").read_text()
    [example] = re.findall(r'```\n("""curves.py.*?)```', page, flags=re.DOTALL)
    (folder / "curves.py").write_text(example)
    (folder / "bad.py").write_text(BAD)
    return folder


def run(suite: Path, *options: str, code: int = 0) -> str:
    """`harness run` and what it said on stderr."""
    arguments = ["run", "m.yaml", "-p", PLUGIN, "--device", "cpu", *options]
    done = harness_here(*arguments, cwd=suite)
    assert done.returncode == code, done.stderr
    return done.stderr


def read_events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


@pytest.fixture(scope="module")
def tracked(suite: Path) -> Path:
    trackers = "tensorboard,curves,bad"
    said = run(
        suite, "-p", "curves.py", "-p", "bad.py", "--tracker", trackers, "--run-id", "tracked"
    )
    assert said.count("the tracker 'bad' failed at tiny/seed0/train: SystemExit: the server") == 1
    assert said.count("'bad'") == 1
    return suite / "results" / "tiny" / "tracked"


def test_tensorboard_has_the_curves_of_the_training(tracked: Path):
    cell = tracked / "cells" / "tiny" / "seed0"
    events = read_events(cell / "trackers" / "tensorboard" / "train")
    log = [json.loads(line) for line in (cell / "train_log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [2, 4, 5]
    losses = {name for name in log[0] if "loss" in name}
    assert losses
    for name in {*losses, "lr", "images_per_second"}:
        told = [(line["step"], pytest.approx(line[name])) for line in log if line[name] is not None]
        assert events[f"training/{name}"] == told, name


@pytest.mark.parametrize("cell", ["train", "evaluate", "cost", "latency_eager"])
def test_tensorboard_has_the_final_metrics_of_each_cell(tracked: Path, cell: str):
    folder = tracked / "cells" / "tiny" / "seed0" / "trackers" / "tensorboard" / cell
    events = read_events(folder).items()
    told = {name: found[-1][1] for name, found in events if not name.startswith("training/")}
    stage = cell.partition("_")[0]
    measured = {
        f"{r.scope or 'metrics'}/{r.metric}": r.value
        for r in read_run_records(tracked)
        if r.stage == stage and r.kind == "measurement" and r.value == r.value
    }
    assert measured
    assert told == {name: pytest.approx(value, rel=1e-6) for name, value in measured.items()}
    folders = {name.rpartition("/")[0] for name in told}  # MLflow's files: none is a folder, too
    assert not folders & set(told)


def test_the_tracker_of_an_outsiders_file_is_told_the_same(tracked: Path):
    folder = tracked / "cells" / "tiny" / "seed0" / "trackers"
    lines = (folder / "curves" / "train" / "curves.jsonl").read_text().splitlines()
    events = read_events(folder / "tensorboard" / "train")
    for line in map(json.loads, lines):
        step = line.pop("step")
        for name, value in line.items():
            assert (step, pytest.approx(value)) in events[name]
    assert [json.loads(line)["step"] for line in lines] == [2, 4, 5, 5]


def test_trackers_change_neither_fingerprints_nor_weights_and_may_be_added(
    suite: Path, tracked: Path
):
    run(suite, "--run-id", "plain", "--stages", "train")
    plain = suite / "results" / "tiny" / "plain"
    one, other = (
        torch.load(r / "cells/tiny/seed0/checkpoint.pt", weights_only=True)["state_dict"]
        for r in (plain, tracked)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    more = ("--resume", "--tracker", "tensorboard", "--stages", "train,cost")
    said = run(suite, "--run-id", "plain", *more)
    assert "tiny seed 0 train: kept" in said
    cell = plain / "cells" / "tiny" / "seed0" / "trackers" / "tensorboard"
    assert [path.name for path in cell.iterdir()] == ["cost"]
    prints = [
        {(r.stage, r.fingerprint) for r in read_run_records(folder) if r.stage in ("train", "cost")}
        for folder in (plain, tracked)
    ]
    assert prints[0] == prints[1]


def test_a_missing_package_is_one_line_and_nothing_runs(suite: Path):
    (suite / "mlflow.py").write_text("raise ModuleNotFoundError(\"No module named 'mlflow'\")\n")
    said = run(suite, "--tracker", "mlflow", "--run-id", "missing", code=2)
    [line] = said.strip().splitlines()
    assert "the tracker 'mlflow' needs mlflow" in line
    assert "pip install mlflow" in line
    assert not (suite / "results" / "tiny" / "missing").exists()


@pytest.fixture
def plan(suite: Path) -> Plan:
    manifest = load_manifest(suite / "m.yaml", None, ["trackers=[tensorboard]"])
    return make_plan(manifest, load_plugins([str(PLUGIN)]))


def test_what_an_attempt_told_that_was_cut_short_is_told_again(plan: Plan, tmp_path: Path):
    cell = next(c for c in plan.cells if c.stage == "train")
    for attempt, steps in ((1, (2, 4, 6)), (2, (4, 6, 8))):
        with Tracking(plan, CPU).cell(tmp_path, cell, pytest.fail) as told:
            for step in steps:
                told.log({"training/loss": attempt, "training/lr": float("nan")}, step)
        time.sleep(1.1)  # files are read by name, and those of one second have no order
    events = read_events(tmp_path / "cells/tiny/seed0/trackers/tensorboard/train")
    assert events == {"training/loss": [(2, 1), (4, 2), (6, 2), (8, 2)]}


def test_only_the_first_of_several_processes_tells(plan: Plan, tmp_path: Path):
    cell: Cell = plan.cells[0]
    launch = Launch(torch.device("cpu"), 1, 2)
    with Tracking(plan, launch).cell(tmp_path, cell, pytest.fail) as told:
        told.log({"training/loss": 1.0}, 1)
    assert not list(tmp_path.iterdir())


def test_a_tracker_is_named_once_and_is_one_that_exists(suite: Path):
    said = run(suite, "--tracker", "tensorboard,tensorboard", code=2)
    assert "the tracker 'tensorboard' is named twice" in said
    assert "no tracker is called 'tensorbord' (did you mean 'tensorboard'" in run(
        suite, "--tracker", "tensorbord", code=2
    )
