"""What `harness watch` tells of a folder: states, time left, and how it reads at two widths."""

import io
import json
import time
from pathlib import Path

import pytest
from rich.console import Console

from harness.records import layout
from harness.records.locks import locked
from harness.records.record import Record
from harness.records.store import write_records
from harness.run.watching import CellStatus, Step, is_live, read_status, render_status, time_left

NOW = time.time()
STAGES = ("train", "evaluate", "cost")


def step(done: int, total: int, gone: float, silent: float = 0) -> Step:
    """Of a cell that began `gone` seconds ago and spoke `silent` seconds ago."""
    now = time.time()
    return Step(done, total, "", "process 7 on far", now - gone - silent, now - silent)


def record(detector: str, stage: str, kind: str = "cell", **more: object) -> Record:
    return Record("r", detector, 0, stage, "f", kind, NOW, "e", **more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A plan of two detectors of which nothing has run."""
    cells = [
        {"detector": d, "seed": 0, "stage": s, "mode": "", "fingerprint": "f", "call": "c"}
        for d in ("one", "two") for s in STAGES
    ]  # fmt: skip
    plan = {
        "format": layout.FORMAT, "suite": "s", "profile": "quick", "detectors": {}, "data": {},
        "data_fingerprint": "", "evaluate": {}, "cells": cells,
    }  # fmt: skip
    (tmp_path / layout.PLAN).write_text(json.dumps(plan))
    return tmp_path


def say(folder: Path, detector: str, stage: str, said: Step) -> None:
    path = layout.progress_file(folder, detector, 0, stage, "")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(vars(said)))


def states(folder: Path) -> dict[str, str]:
    return {cell.cell: cell.state for cell in read_status(folder)}


def test_each_state_is_told_from_the_others(folder: Path):
    seconds = record("one", "train", "measurement", metric="cell_seconds", value=12.5)
    write_records(folder, [seconds, record("one", "train")])
    write_records(folder, [record("one", "evaluate", status="failed", error="no such thing")])
    write_records(folder, [record("one", "cost", status="interrupted", error="by a signal")])
    say(folder, "two", "train", step(3, 9, gone=60))
    say(folder, "two", "evaluate", step(3, 9, gone=60, silent=600))
    assert states(folder) == {
        "one seed 0 train": "done",
        "one seed 0 evaluate": "failed",
        "one seed 0 cost": "interrupted",
        "two seed 0 train": "running",
        "two seed 0 evaluate": "lost",
        "two seed 0 cost": "waiting",
    }
    trained = read_status(folder)[0]
    assert (trained.seconds, trained.error) == (12.5, "")


def test_a_silent_cell_whose_lock_is_held_is_at_work(folder: Path):
    say(folder, "two", "train", step(3, 9, gone=60, silent=600))
    path = layout.records_file(folder, "two", 0, "train", "").with_suffix(".lock")
    with locked(path, "the cell"):
        assert states(folder)["two seed 0 train"] == "running"
        assert is_live(folder, read_status(folder))
    assert states(folder)["two seed 0 train"] == "lost"
    assert not is_live(folder, read_status(folder))


def test_a_cell_that_is_planned_otherwise_since_waits(folder: Path):
    old = record("one", "train")
    write_records(folder, [Record(**{**vars(old), "fingerprint": "another"})])
    assert states(folder)["one seed 0 train"] == "waiting"


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        # half of it took 30 s; another like it will take the 40 s that one has taken
        ([("train", "running", step(5, 10, 30), None), ("train", "done", None, 40.0),
          ("train", "waiting", None, None)], 30 + 40),
        # two at once
        ([("train", "running", step(5, 10, 30), None), ("train", "running", step(1, 4, 10), None)],
         (30 + 30) / 2),
        # without steps: what such a cell took, less what is gone; never less than nothing
        ([("cost", "running", step(0, 0, 15), None), ("cost", "done", None, 20.0)], 5),
        ([("cost", "running", step(0, 0, 90), None), ("cost", "done", None, 20.0)], 0),
        # what failed is not done again
        ([("train", "failed", None, None), ("train", "waiting", None, None),
          ("train", "done", None, 40.0)], 40),
        # nothing like it was done before
        ([("train", "done", None, 40.0), ("latency", "waiting", None, None)], None),
    ],
)  # fmt: skip
def test_time_left(cells: list[tuple], expected: float | None):
    made = [CellStatus("c", stage, state, said, took) for stage, state, said, took in cells]
    assert time_left(made) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("width", [60, 120])
def test_how_it_reads(folder: Path, width: int):
    write_records(folder, [record("one", "train", status="failed", error="lost in thought")])
    say(folder, "two", "train", step(30, 90, gone=130))
    path = layout.cell_folder(folder, "two", 0) / layout.TRAIN_LOG
    path.write_text('{"step": 20, "loss": 3.0}\n{"step": 30, "loss": 1.25, "lr": 0.1}\n')
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False)
    console.print(render_status(folder, read_status(folder)))
    lines = [line.replace("\u00a0", " ").strip() for line in out.getvalue().splitlines()]
    words = " ".join(" ".join(lines).split())
    assert words.startswith(f"{folder.name}: 6 cells, 4 waiting, 1 failed, 1 running")
    assert "two seed 0 train running 30/90 2 min 10 s loss 1.250" in words
    assert "failed one seed 0 train: lost in thought" in words
    assert "(nothing runs now)" not in words
    assert max(map(len, out.getvalue().splitlines())) <= width


def test_bad_ends_are_red_and_others_are_not(folder: Path):
    write_records(folder, [record("one", "train", status="failed", error="e")])
    write_records(folder, [record("one", "cost", status="interrupted", error="by a signal")])
    say(folder, "two", "train", step(3, 9, gone=1))
    say(folder, "two", "cost", step(3, 9, gone=1, silent=600))
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=True, color_system="standard")
    console.print(render_status(folder, read_status(folder)))
    red, yellow = "\x1b[31m", "\x1b[33m"
    assert out.getvalue().count(f"{red}failed") == 1
    assert out.getvalue().count(f"{red}lost") == 1
    assert out.getvalue().count(f"{yellow}interrupted") == 1
    assert out.getvalue().count(red) == 2
