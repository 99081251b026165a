"""Whether a cell is timed alike in the process that ran other cells and in a fresh one.

It decides which executor is the default. Other cells are the evaluation and the cost of the same
and of other detectors. Both ways in turn, and the median of the rounds' ratios: a shared machine's
speed drifts. Takes 10 minutes on 2 cores.
Run with: pytest tests/benchmarks/test_inline_timing.py --benchmark-only -s
"""

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from tiny_suite import environment

from harness.records.store import read_run_records

SUITE = Path(__file__).parents[2] / "suites" / "tinydet.yaml"
DETECTORS = ("tinydet_s", "tinydet_m")
WAYS = {"inline": ["--executor", "inline"], "fresh process": ["--jobs", "1"]}
METRIC = "latency_end_to_end_p50"
AGREE = 0.1  # single rounds on a shared machine differ by 20 % and more
ROUNDS = 7


def time_all(folder: Path, way: str) -> dict[str, float]:
    """Detector -> milliseconds."""
    choice = ["--profile", "quick", "--stages", "evaluate,cost,latency", "--device", "cpu"]
    sizes = ["--set", "evaluate.max_images=16", "--set", "latency.runs=40"]
    name = f"{way.split()[0]}{len(list((folder / 'results').glob('*/*')))}"
    command = [sys.executable, "-m", "harness", "run", str(SUITE), *choice, *sizes, *WAYS[way]]
    command += ["--only", ",".join(DETECTORS), "--run-id", name]
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    [run] = (folder / "results").glob(f"*/{name}")
    records = [r for r in read_run_records(run) if r.metric == METRIC and not r.scope]
    return {record.detector: record.value for record in records}


def test_inline_cells_are_timed_as_in_fresh_processes(
    benchmark: Any, capsys: Any, tmp_path: Path
) -> None:
    (tmp_path / "results").mkdir()
    found = benchmark.pedantic(
        lambda: [{way: time_all(tmp_path, way) for way in WAYS} for _ in range(ROUNDS)], rounds=1
    )
    for detector in DETECTORS:
        ratios = [one["inline"][detector] / one["fresh process"][detector] for one in found]
        with capsys.disabled():
            print(f"\n{detector}: inline / fresh process {median(ratios):.3f}", json.dumps(found))
        assert 1 - AGREE <= median(ratios) <= 1 + AGREE
