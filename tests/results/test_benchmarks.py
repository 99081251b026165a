"""Files of pytest-benchmark, made by a real run of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.results.benchmarks import TIME
from harness.results.comparison import compare_sides
from harness.results.sides import read_sides

pytestmark = pytest.mark.slow

MODULE = """
import time

def test_sleep(benchmark):
    benchmark.pedantic(time.sleep, args=({seconds},), rounds=20, iterations=1)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two real runs, the second ten times as slow."""
    made = []
    for name, seconds in (("fast", 0.001), ("slow", 0.01)):
        folder = tmp_path_factory.mktemp(name)
        (folder / "test_it.py").write_text(MODULE.format(seconds=seconds))
        made.append(folder / f"{name}.json")
        # a run of its own, also where these tests are shared out over processes
        outer = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(folder), str(folder)]
        command += ["-p", "no:xdist", "--benchmark-json", str(made[-1])]
        subprocess.run(command, check=True, cwd=folder, env=outer)
    return made


def test_each_benchmark_is_a_row_with_its_rounds_as_samples(files: list[Path]):
    sides = read_sides([str(f) for f in files])
    assert [s.name for s in sides] == ["fast", "slow"]
    estimate = sides[0].estimates["test_it.py::test_sleep"][TIME.name]
    assert len(estimate.samples) == 20
    assert estimate.value >= 1.0
    assert {"python", "system", "timer"} <= set(estimate.conditions)
    assert (
        estimate.samples[0]
        == 1000 * json.loads(files[0].read_text())["benchmarks"][0]["stats"]["data"][0]
    )


def test_rounds_decide_what_is_slower(files: list[Path], tmp_path: Path):
    made = []
    for name, median in (("fast", 1.0), ("slow", 2.0)):
        content = json.loads(files[0].read_text())
        # in place of the rounds, which other work on the machine may have disturbed
        rounds = np.random.default_rng(0).uniform(0.99, 1.01, 40) * median / 1000
        content["benchmarks"][0]["stats"]["data"] = rounds.tolist()
        made.append(tmp_path / f"{name}.json")
        made[-1].write_text(json.dumps(content))
    (row,) = compare_sides(read_sides([*map(str, made)])).rows
    assert row.differences[0].verdict == "worse"
    assert row.differences[0].ratio == pytest.approx(2.0)


def test_another_machine_is_refused(files: list[Path], tmp_path: Path):
    content = json.loads(files[1].read_text())
    content["machine_info"]["cpu"]["brand_raw"] = "Another One"
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(json.dumps(content))
    (row,) = compare_sides(read_sides([str(files[0]), str(elsewhere)])).rows
    assert row.differences[0].verdict == "refused"
    assert [m.name for m in row.differences[0].mismatches] == ["processor"]


def test_without_rounds_the_noise_is_unknown(files: list[Path], tmp_path: Path):
    content = json.loads(files[1].read_text())
    del content["benchmarks"][0]["stats"]["data"]
    bare = tmp_path / "bare.json"
    bare.write_text(json.dumps(content))
    sides = read_sides([str(files[0]), str(bare)])
    (row,) = compare_sides(sides).rows
    assert row.differences[0].verdict == "unknown"
    assert "rounds were not saved" in sides[1].notes[0]
