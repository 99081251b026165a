"""`train.evaluate_every` in a run: same numbers with it and without; log, trackers, watch, page."""

import io
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_suite import PLUGIN, harness_here, make_coco, tiny, write_manifest

from harness import load_results
from harness.files import read_json_lines
from harness.model.checkpoint import read_checkpoint
from harness.plugin.metrics import MetricSpec
from harness.records import layout
from harness.report.figures import training
from harness.results.run import Run
from harness.results.run_folder import read_run
from harness.run.watching import read_status, render_status

pytestmark = pytest.mark.slow

EVERY = "detectors.with_it.train.evaluate_every=2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one detector twice, of which one is evaluated on the way."""
    folder = tmp_path_factory.mktemp("evaluated")
    data = make_coco(folder / "data", images=6)
    path = write_manifest(folder / "m.yaml", data, [tiny("with_it"), tiny("without")])
    path.write_text(path.read_text().replace("steps: 2,", "steps: 5, log_every: 2,"))
    done = harness_here(
        "run", "m.yaml", "-p", PLUGIN, "--device", "cpu", "--stages", "train,evaluate",
        "--tracker", "tensorboard", "--run-id", "r", "--set", EVERY,
        "--set", "detectors.with_it.train.evaluate_images=4", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return read_run(folder / "results" / "tiny" / "r")


def cell(run: Run, detector: str) -> Path:
    return run.folder / "cells" / detector / "seed0"


def lines(run: Run, detector: str = "with_it") -> list[dict[str, Any]]:
    return read_json_lines(cell(run, detector) / "train_log.jsonl")


def main_score(run: Run) -> MetricSpec:
    score = run.catalog.main_score
    assert score is not None
    return score


def test_weights_losses_and_fingerprints_are_the_same(run: Run) -> None:
    names = ("with_it", "without")
    one, other = (dict(read_checkpoint(cell(run, n) / "checkpoint.pt").state) for n in names)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    logs = [
        [{k: v for k, v in line.items() if k not in ("images_per_second", "wait_share")}
         for line in lines(run, n) if "validation" not in line]
        for n in names
    ]  # fmt: skip
    assert logs[0] == logs[1]
    assert len(logs[0]) == 3
    prints = [[c["fingerprint"] for c in run.plan["cells"] if c["detector"] == n] for n in names]
    assert prints[0] == prints[1]
    assert not any("validation" in line for line in lines(run, "without"))


def test_the_log_has_the_scores_of_the_meters(run: Run) -> None:
    evaluated = [line for line in lines(run) if "validation" in line]
    assert [line["step"] for line in evaluated] == [2, 4]
    scores = list(evaluated[0]["validation"])
    assert scores[0] == main_score(run).name
    assert {run.catalog.spec(name).kind for name in scores} == {"score"}
    frame = load_results(run.folder)
    final = frame[(frame.stage == "evaluate") & (frame.scope.fillna("") == "")]
    assert set(scores) <= set(final.metric)
    assert not list(run.folder.rglob("validation_detections.json"))


def test_trackers_have_them(run: Run) -> None:
    events = EventAccumulator(str(cell(run, "with_it") / "trackers" / "tensorboard" / "train"))
    events.Reload()
    [name, *_] = next(line["validation"] for line in lines(run) if "validation" in line)
    told = [
        (line["step"], pytest.approx(line["validation"][name]))
        for line in lines(run)
        if "validation" in line
    ]
    assert [(e.step, e.value) for e in events.Scalars(f"validation/{name}")] == told


def test_watch_tells_the_newest_score(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path / "r")
    progress = layout.progress_file(tmp_path / "r", "with_it", 0, "train", "")
    progress.parent.mkdir(parents=True, exist_ok=True)
    now = time.time()
    step = {"done": 4, "total": 5, "note": "", "process": "process 7", "started": now, "time": now}
    progress.write_text(json.dumps(step))
    out = io.StringIO()
    status = render_status(tmp_path / "r", read_status(tmp_path / "r"))
    Console(file=out, width=200).print(status)
    score = main_score(run).name
    newest = [line["validation"][score] for line in lines(run) if "validation" in line][-1]
    assert f"{score} {newest:.3f} at step 4" in out.getvalue()
    assert "loss" in out.getvalue()


def test_the_page_draws_their_course(run: Run) -> None:
    drawn = training.build(run)
    lone = {place: found for place, found in run.training.items() if place[0] == "without"}
    plain = training.build(replace(run, training=lone))
    assert drawn is not None
    assert plain is not None
    score = main_score(run)
    curves = [trace for trace in drawn.plot.data if trace.mode == "lines+markers"]
    assert [list(curve.x) for curve in curves] == [[2, 4]]
    told = [
        line["validation"][score.name] * score.scale
        for line in run.training["with_it", 0]
        if "validation" in line
    ]
    assert list(curves[0].y) == pytest.approx(told, abs=0.01)
    # and the curves of losses have no point of an evaluation
    assert {tuple(t.x) for t in drawn.plot.data if t.mode == "lines"} == {(2, 4, 5)}
    assert not [trace for trace in plain.plot.data if trace.mode == "lines+markers"]
    assert "best, at step" in drawn.table.columns
    assert "best, at step" not in plain.table.columns


def test_it_needs_a_meter(cli: Any, folder: Path) -> None:
    done = cli(
        "plan", folder / "m.yaml", "--set", EVERY, "--set", "meters=[parameters]",
        "--set", "columns=[]", "--stages", "train,cost",
    )  # fmt: skip
    assert done.code == 2
    assert "evaluate_every: no meter of the suite evaluates" in done.err
