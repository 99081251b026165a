"""A training over several processes that the harness starts, and what becomes of them."""

import json
import signal
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import warm_processes
from cell_jobs import ends, finish, started, wait_for_worker, write_suite
from tiny_suite import PLUGIN, tiny

from harness.records.store import read_run_records
from harness.run.spreading import find_cause

pytestmark = pytest.mark.slow

TROUBLE = PLUGIN.with_name("troubled_ranks.py")
TWO = ("--set", "detectors.*.train.gpus=2", "--stages", "train,evaluate,cost")
SLOW = {"TINY_SLEEP_losses": "0.3"}


def troubled(**params: object) -> str:
    return f"  one: {{detector: {{use: troubled, params: {json.dumps(params)}}}}}"


def run_of(folder: Path) -> Path:
    return folder / "results" / "tiny" / "s"


def end_of_training(folder: Path) -> tuple[str, str]:
    [end] = [r for r in read_run_records(run_of(folder)) if r.kind == "cell" and r.stage == "train"]
    return end.status, end.error


def test_this_process_is_one(tmp_path: Path, data: Path) -> None:
    write_suite(tmp_path, data, tiny("one"))
    with started(tmp_path, *TWO) as run:
        line = finish(run, tmp_path, 2).splitlines()[-1]
    assert "detectors.one.train.gpus: wants 2 processes" in line
    assert "--jobs 1" in line


def test_the_rank_that_fails_is_named(tmp_path: Path, data: Path) -> None:
    write_suite(tmp_path, data, troubled(rank=1))
    with started(tmp_path, "--jobs", "1", "-p", str(TROUBLE), *TWO) as run:
        finish(run, tmp_path, 1)
    assert end_of_training(tmp_path) == ("failed", "rank 1 of 2: has had enough")


def test_a_rank_that_is_killed_is_named_and_the_cell_repeated(tmp_path: Path, data: Path) -> None:
    write_suite(tmp_path, data, troubled(rank=1, what="kill", once=str(tmp_path / "once")))
    with started(tmp_path, "--jobs", "1", "-p", str(TROUBLE), *TWO) as run:
        words = finish(run, tmp_path)
    assert "rank 1 of 2 was ended by SIGKILL" in words
    assert set(ends(tmp_path).values()) == {"ok"}
    records = read_run_records(run_of(tmp_path))
    processes = {r.stage: r.conditions.get("processes") for r in records if r.conditions}
    assert processes["train"] == 2
    assert processes["evaluate"] is None


def test_a_signal_saves_and_the_run_goes_on(tmp_path: Path, data: Path) -> None:
    """To the steps of one that nothing has interrupted."""
    write_suite(tmp_path, data, tiny("one"))
    often = ("--set", "detectors.*.train.log_every=2")
    with started(tmp_path, "--jobs", "1", *TWO, *often, variables=SLOW) as run:
        wait_for_worker(run, tmp_path, "one")
        run.send_signal(signal.SIGTERM)
        finish(run, tmp_path, 143)
    assert end_of_training(tmp_path)[0] == "interrupted"
    state = run_of(tmp_path) / "cells" / "one" / "seed0" / "state.pt"
    assert state.is_file()
    with started(tmp_path, "--jobs", "1", "--resume", *TWO, *often) as run:
        finish(run, tmp_path)
    log = (state.parent / "train_log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == list(range(2, 21, 2))


def test_no_process_outlives_the_one_that_started_it(tmp_path: Path, data: Path) -> None:
    write_suite(tmp_path, data, tiny("one"))
    with started(tmp_path, "--jobs", "1", *TWO, variables=SLOW) as run:
        worker = wait_for_worker(run, tmp_path, "one")
        launcher = worker.parent()
        assert launcher is not None
        ranks = [child for child in launcher.children() if child.name() != warm_processes.NAME]
        assert len(ranks) == 2
        run.kill()
        launcher.kill()
        _, alive = psutil.wait_procs(ranks, timeout=60)
    assert alive == []


def failure(code: int, message: object = "", second: int = 100) -> SimpleNamespace:
    return SimpleNamespace(exitcode=code, message=message, timestamp=second)


@pytest.mark.parametrize(
    ("failures", "rank"),
    [
        pytest.param({0: failure(1, "a"), 1: failure(1, "b", 99)}, 1, id="the first"),
        pytest.param(
            {0: failure(1, "RuntimeError: [../gloo] Connection closed by peer", 99),
             1: failure(-9)}, 1, id="not who lost a neighbour",
        ),
        pytest.param({0: failure(-15, second=98), 1: failure(1, "b")}, 1, id="not who was told"),
        pytest.param({0: failure(-9, second=131), 1: failure(1, "b")}, 1, id="not who hung"),
    ],
)  # fmt: skip
def test_the_cause_is_found(failures: dict[int, SimpleNamespace], rank: int) -> None:
    assert find_cause(failures)[0] == rank
