"""What the harness itself takes: a plan of 20,000 cells, a cell in a fresh process, one inline.

Goals on 2 cores: 10 s to plan and print 20,000 cells, 5 s to resume a run of which all of them are
done; beside a cell's own work 0.3 s inline and 6 s in a fresh process.
Run with: pytest tests/benchmarks/test_cells.py --benchmark-only -s
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from soaking import soak
from tiny_suite import PLUGIN, environment, make_coco, tiny, write_manifest

from harness.manifest.suite import load_manifest
from harness.plan.planner import make_plan
from harness.plugin.manager import load_plugins
from harness.records.layout import records_file
from harness.records.store import read_records

DETECTORS, SEEDS = 100, 67  # and three stages
STAGES = ("evaluate", "cost", "latency")
# The page of so many cells takes minutes and is not part of a resume with nothing left to do.
WITHOUT_REPORTS = """
import harness.run.session as session
from harness.cli import main
session.write_reports = lambda run: [(run.folder / name).touch()
    for name in (session.layout.TABLE, session.layout.PAGE)]
main()
"""
OF_ALL = ["--seeds", ",".join(map(str, range(SEEDS))), "--stages", ",".join(STAGES)]
ROUNDS = 5


def call(folder: Path, *arguments: str, program: Sequence[str] = ("-m", "harness")) -> None:
    command = [sys.executable, *program, *arguments, "-p", str(PLUGIN)]
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def run(folder: Path, *arguments: str, **how: Any) -> None:
    call(folder, "run", "m.yaml", "--device", "cpu", "--run-id", "s", *arguments, **how)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cells")
    names = [f"d{number:03}" for number in range(DETECTORS)]
    write_manifest(folder / "m.yaml", make_coco(folder / "data"), map(tiny, names))
    return folder


@pytest.fixture(scope="module")
def done(suite: Path) -> Path:
    """All cells done: one detector's were measured, the records of the others are like them."""
    run(suite, "--only", "d000", "--seeds", "0", "--stages", ",".join(STAGES))
    folder = suite / "results/tiny/s"
    manifest, registry = load_manifest(suite / "m.yaml"), load_plugins([str(PLUGIN)])
    cells = make_plan(manifest, registry, stages=STAGES, seeds=range(SEEDS)).cells
    kept = {c.stage: read_records(records_file(folder, *c.place)) for c in cells
            if c.detector == "d000" and c.seed == 0}  # fmt: skip
    for cell in cells:
        path = records_file(folder, *cell.place)
        path.parent.mkdir(parents=True, exist_ok=True)
        own = {"detector": cell.detector, "seed": cell.seed, "fingerprint": cell.fingerprint}
        made = [replace(record, **own) for record in kept[cell.stage]]
        path.write_text("".join(record.to_json() + "\n" for record in made))
    run(suite, "--resume", *OF_ALL, program=("-c", WITHOUT_REPORTS))  # plans all of them
    return suite


def tell(capsys: Any, what: str, seconds: list[float], goal: float) -> None:
    with capsys.disabled():
        shown = ", ".join(f"{one:.2f}" for one in seconds)
        print(f"\n{what}: {median(seconds):.2f} s (goal {goal:g}; {shown})")


def test_a_plan_of_20_000_cells_is_made_and_printed(benchmark: Any, capsys: Any, suite: Path):
    benchmark.pedantic(lambda: call(suite, "plan", "m.yaml", *OF_ALL), rounds=ROUNDS)
    tell(capsys, "plan", benchmark.stats.stats.data, 10)


def test_a_run_of_20_000_cells_that_are_done_is_resumed(benchmark: Any, capsys: Any, done: Path):
    benchmark.pedantic(lambda: run(done, "--resume", *OF_ALL), rounds=ROUNDS)
    tell(capsys, "resume", benchmark.stats.stats.data, 5)


def test_a_cell_in_a_fresh_process(benchmark: Any, capsys: Any, tmp_path: Path):
    write_manifest(tmp_path / "m.yaml", make_coco(tmp_path / "data"))
    run(tmp_path, "--stages", "cost")
    folder = tmp_path / "results/tiny/s"
    one = lambda: call(tmp_path, "cell", str(folder), "tiny/seed0/cost", "--device", "cpu")  # noqa: E731
    benchmark.pedantic(one, rounds=ROUNDS)
    [own] = [r.value for r in read_records(records_file(folder, "tiny", 0, "cost", ""))
             if r.metric == "cell_seconds"]  # fmt: skip
    tell(capsys, "fresh process", [took - own for took in benchmark.stats.stats.data], 6)
    torch = [sys.executable, "-c", "import torch"]
    with capsys.disabled():
        subprocess.run([sys.executable, "-m", "timeit", "-n1", "-r5", "-s", "import subprocess",
                        f"subprocess.run({torch!r})"], check=True)  # fmt: skip


def test_cells_in_one_process(benchmark: Any, capsys: Any, tmp_path: Path):
    data = make_coco(tmp_path / "data")
    found = benchmark.pedantic(lambda: soak(tmp_path, data, 60), rounds=1)
    tell(capsys, "inline", [found.overhead()], 0.3)
