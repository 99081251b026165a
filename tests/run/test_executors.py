"""Cells as processes of their own: equal to those of one process, and none lost with a process."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_suite import HARNESS, PLUGIN, environment, harness, harness_here, tiny, write_manifest
from warm_processes import Popen

from harness.files import hash_file
from harness.records import layout
from harness.records.record import Record
from harness.records.store import read_run_records
from harness.run.watching import read_status

pytestmark = pytest.mark.slow

LONG = 600.0  # seconds that a stage dawdles, unless it is ended
FAST = ("--stages", "train,evaluate,cost")


def run_of(folder: Path, run_id: str) -> Path:
    return folder / "results" / "tiny" / run_id


def ends(run: Path) -> dict[str, Record]:
    """Name of each cell -> how it ended."""
    found = [r for r in read_run_records(run) if r.kind == "cell"]
    return {f"{r.detector}/{r.seed}/{r.stage}": r for r in found}


def numbers(run: Path) -> dict[tuple[object, ...], float]:
    """All that does not depend on the clock."""
    clocked = ("seconds", "time", "wait", "images_per_second", "memory")
    return {
        (*r.place[1:], r.metric, r.scope): r.value
        for r in read_run_records(run)
        if r.kind == "measurement" and not any(word in r.metric for word in clocked)
        and r.value == r.value
    }  # fmt: skip


def wait_for(happens: Callable[[], bool], seconds: float = 90) -> None:
    until = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def begin(folder: Path, *arguments: object, **slow: float) -> subprocess.Popen[str]:
    variables = {f"TINY_SLEEP_{place}": str(seconds) for place, seconds in slow.items()}
    return Popen(
        [*HARNESS, "run", "m.yaml", "-p", str(PLUGIN), *map(str, arguments)],
        cwd=folder, env={**environment(folder), **variables}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def worker_of(run: Path, cell: str) -> int | None:
    """The process that works on a cell, once it has said so."""
    detector, seed, stage = cell.split("/")
    path = layout.progress_file(run, detector, int(seed), stage, "")
    try:
        process = json.loads(path.read_bytes())["process"]
    except (OSError, ValueError):
        return None
    return int(process.split()[1])


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """Two detectors, and the run of them in one process."""
    folder = tmp_path_factory.mktemp("executors")
    write_manifest(folder / "m.yaml", data, [tiny("one"), tiny("two", channels=4)])
    done = harness_here("run", "m.yaml", "-p", PLUGIN, *FAST, "--run-id", "inline", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_processes_give_what_one_process_gives(suite: Path):
    done = harness_here(
        "run", "m.yaml", "-p", PLUGIN, *FAST, "--jobs", 2, "--run-id", "two", cwd=suite
    )
    assert done.returncode == 0, done.stderr
    assert numbers(run_of(suite, "two")) == numbers(run_of(suite, "inline")) != {}
    for name in ("one", "two"):
        files = [
            layout.cell_folder(run_of(suite, id), name, 0) / layout.CHECKPOINT
            for id in ("inline", "two")
        ]
        assert hash_file(files[0]) == hash_file(files[1])
    assert {record.status for record in ends(run_of(suite, "two")).values()} == {"ok"}
    assert not list(run_of(suite, "two").rglob("*.lock"))
    log = layout.log_file(run_of(suite, "two"), "one", 0, "train", "")
    assert "one seed 0 train: ok" in log.read_text()


def test_a_lost_process_costs_one_more_attempt(suite: Path):
    run = run_of(suite, "killed")
    process = begin(
        suite, *FAST, "--only", "one", "--jobs", 1, "--run-id", "killed",
        "--set", "detectors.one.train.steps=40", losses=0.1,
    )  # fmt: skip
    wait_for(lambda: worker_of(run, "one/0/train") is not None)
    worker = worker_of(run, "one/0/train")
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    told = "one seed 0 train: its process was ended by SIGKILL; it is started again"
    assert told in err
    assert {record.status for record in ends(run).values()} == {"ok"}


def test_a_plugin_that_ends_its_process_fails_its_cell_alone(suite: Path, tmp_path: Path):
    """`os._exit` in the middle of a stage: nothing of Python's own is told."""
    plugin = tmp_path / "leaving.py"
    plugin.write_text(LEAVING)
    done = harness_here(
        "run", "m.yaml", "-p", PLUGIN, "-p", plugin, *FAST, "--jobs", 2,
        "--run-id", "left", "--set", "executor.retries=2",
        "--set", "detectors.two.detector.use=leaving", cwd=suite,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    found = ends(run_of(suite, "left"))
    assert {found[f"one/0/{stage}"].status for stage in ("train", "evaluate", "cost")} == {"ok"}
    failed = found["two/0/train"]
    assert "its process ended with exit code 9 (3 attempts)" in failed.error
    assert "last said: [1/1] two seed 0" in failed.error
    assert found["two/0/evaluate"].error.startswith("not run")


def test_ctrl_c_lets_every_process_save(suite: Path):
    run = run_of(suite, "stopped")
    choice = ("--set", "detectors.*.train.steps=40", "--jobs", 2)
    process = begin(suite, "--stages", "train", *choice, "--run-id", "stopped", losses=0.2)
    wait_for(lambda: all(worker_of(run, f"{name}/0/train") for name in ("one", "two")))
    wait_for(lambda: all(c.state == "running" and c.step.done for c in read_status(run)))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.splitlines()[-1] == ("harness: interrupted; --resume --run-id stopped continues")
    assert {record.status for record in ends(run).values()} == {"interrupted"}
    assert all(
        (layout.cell_folder(run, name, 0) / layout.TRAIN_STATE).is_file() for name in ("one", "two")
    )
    done = harness_here(
        "run", "m.yaml", "-p", PLUGIN, "--stages", "train", *choice, "--resume",
        "--run-id", "stopped", cwd=suite,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {record.status for record in ends(run).values()} == {"ok"}


def test_no_cell_outlives_a_harness_that_is_killed(suite: Path):
    run = run_of(suite, "orphans")
    choice = ("--set", "detectors.*.train.steps=3000", "--jobs", 2, "--run-id", "orphans")
    process = begin(suite, "--stages", "train", *choice, losses=0.2)
    names = ("one/0/train", "two/0/train")
    wait_for(lambda: all(worker_of(run, name) for name in names))
    workers = [worker_of(run, name) for name in names]
    process.kill()
    process.wait()
    wait_for(lambda: not any(is_alive(worker) for worker in workers))


def test_a_second_call_of_the_same_cells_is_refused(suite: Path):
    run = run_of(suite, "shared")
    first = begin(suite, "--stages", "train", "--only", "one", "--run-id", "shared", losses=LONG)
    try:
        wait_for(lambda: worker_of(run, "one/0/train") is not None)
        again = ("run", "m.yaml", "-p", PLUGIN, "--resume", "--run-id", "shared")
        other = harness_here(*again, "--stages", "train", cwd=suite)
        assert other.returncode == 2
        assert f"process {first.pid} on " in other.stderr.splitlines()[-1]
        assert "runs one/seed0/train" in other.stderr
        cell = harness("cell", run, "one/seed0/train", "-p", PLUGIN, cwd=suite)
        assert cell.returncode == 2
        assert f"is being worked on by process {first.pid} on " in cell.stderr
        apart = harness_here(*again, "--stages", "cost", "--only", "two", cwd=suite)
        assert apart.returncode == 0, apart.stderr
    finally:
        first.kill()
        first.wait()
    watched = {cell.cell: cell.state for cell in read_status(run)}
    assert watched == {"one seed 0 train": "lost", "two seed 0 cost": "done"} or (
        watched["one seed 0 train"] == "running"  # until it has been silent for two minutes
    )


def test_one_cell_from_the_folder_alone(suite: Path, tmp_path: Path):
    run = run_of(suite, "inline")
    before = numbers(run)
    path = layout.records_file(run, "one", 0, "evaluate", "")
    path.unlink()
    done = harness("cell", run, "one/seed0/evaluate", "-p", PLUGIN, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert numbers(run) == before
    again = harness_here("cell", run, "one/seed0/evaluate", "-p", PLUGIN, cwd=tmp_path)
    assert again.returncode == 0
    assert numbers(run) == before
    assert len([r for r in read_run_records(run) if r.kind == "cell"]) == 6


def test_a_cell_refuses_another_plugin_and_runs_no_code_of_the_folder(suite: Path, tmp_path: Path):
    plugin = tmp_path / "tiny_detectors.py"
    plugin.write_text(PLUGIN.read_text())
    ran = ("run", "m.yaml", "-p", plugin, "--stages", "cost", "--run-id", "hashed")
    assert harness(*ran, cwd=suite).returncode == 0
    run = run_of(suite, "hashed")
    plugin.write_text(PLUGIN.read_text() + "\n(__import__('pathlib').Path('ran').touch())\n")
    for options in (("-p", plugin), ()):
        done = harness("cell", run, "one/seed0/cost", *options, cwd=suite)
        assert done.returncode == 2
        assert "was made with plugin 'tiny_detectors'" in done.stderr
        assert (suite / "ran").exists() == bool(options)  # what the command line names is loaded
        (suite / "ran").unlink(missing_ok=True)
    assert ends(run)["one/0/cost"].status == "failed"
    measured = [
        r for r in read_run_records(run) if r.detector == "one" and r.metric == "parameters"
    ]
    assert measured  # what was measured before is still there


def test_watch_tells_of_a_run_from_its_folder(suite: Path):
    done = harness_here("watch", run_of(suite, "inline"), cwd=suite)
    assert done.returncode == 0
    assert done.stdout.startswith("inline: 6 cells, 6 done (nothing runs now)")
    process = begin(suite, "--stages", "train", "--only", "one", "--run-id", "watched", losses=LONG)
    try:
        wait_for(lambda: worker_of(run_of(suite, "watched"), "one/0/train") is not None)
        shown = " ".join(harness_here("watch", run_of(suite, "watched"), cwd=suite).stdout.split())
        assert "1 running" in shown
        assert f"process {process.pid} on" in shown
    finally:
        process.kill()
        process.wait()


def test_an_executor_or_a_parameter_that_is_not_there(suite: Path):
    done = harness_here("run", "m.yaml", "-p", PLUGIN, "--executor", "subproces", cwd=suite)
    assert done.returncode == 2
    assert "no executor is called 'subproces' (did you mean 'subprocess'?" in done.stderr
    done = harness_here("run", "m.yaml", "-p", PLUGIN, "--set", "executor.jobs=2", cwd=suite)
    assert done.returncode == 2
    assert "executor.jobs: unknown key 'jobs'" in done.stderr


def is_alive(process: int | None) -> bool:
    """A zombie, which nobody has waited for yet, is not."""
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


LEAVING = """
import os
from tiny_detectors import TinyDetector, TinyParams
from harness.plugin import WholeDetector, hookimpl


class Leaving(TinyDetector):
    def trouble(self, place):
        if place == "losses":
            os._exit(9)


@hookimpl
def harness_detectors():
    return [WholeDetector("leaving", "leaving:Leaving", TinyParams, "ends its process")]
"""
